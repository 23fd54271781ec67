//go:build race

package bolt_test

const raced = true
