// Package architecture holds the rules of the house in tests: which package may import
// which, how long a file may be, which names and constructs are refused, that no type of
// the protocol engine's library shows in a public signature, that the programs in
// README.md compile. It has no code of its own.
//
// The rules read the source with go/parser, so that the test cache knows every file they
// depend on. A message names the file, the line, the rule and what to do instead.
package architecture
