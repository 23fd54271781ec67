//go:build race

package integration

// raced says that the race detector watches, which makes everything several times slower.
const raced = true
