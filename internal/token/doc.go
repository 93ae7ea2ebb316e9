// Package token verifies the tokens with which clients are admitted: signed JSON Web Tokens (RFC 7519) that the
// operator's own server issues. It knows the keys, and says what a valid token claims. What that allows is for
// others to decide.
package token
