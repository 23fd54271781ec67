//go:build !linux

package bolt

// networkMount can't tell on this system.
func networkMount(string) string { return "" }
