// Package server composes the authorization server: New checks a Config and makes
// a Server, Mount puts it on a router, Run does what is due in the background.
package server
