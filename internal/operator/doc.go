// Package operator asks a running server what its operator wants to know, and prints it: the status and the usage.
package operator
