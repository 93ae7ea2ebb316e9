// Package page is the end-to-end tests that need a browser: those of the browser client, whose files
// are named client_*, and those of the page that the server shows.
package page
