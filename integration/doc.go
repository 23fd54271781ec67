// Package integration holds the tests of the whole thing: scripts of what goes over
// the wire, foreign clients and a real browser against the real binary, processes
// that are killed, many requests at the same moment, and what reaches log and disk.
//
// The scripts in testdata read as transcripts; each names the sections it holds the
// server to. Their words are explained in script_test.go, the people and clients
// that appear in them in world_test.go.
package integration
