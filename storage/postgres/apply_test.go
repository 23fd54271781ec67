package postgres

import "testing"

// Replicas of two releases run side by side during an upgrade: they must agree on locks.
func TestLocksStayTheSame(t *testing.T) {
	if got, want := lockOf("doorward", "https://issuer.example", "grant", "1"), int64(-1797066369596804329); got != want {
		t.Errorf("the lock is %d, want %d", got, want)
	}
	if lockOf("ab", "c") == lockOf("a", "bc") {
		t.Error("parts run into each other")
	}
}
