//go:build !race

package attack

// raced says that the race detector watches, which makes everything several times slower.
const raced = false
