//go:build !race

package bolt_test

// raced says that the race detector watches, which makes everything several times slower.
const raced = false
