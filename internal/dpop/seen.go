package dpop

import (
	"crypto/sha256"
	"sync"
	"time"
)

// maxSeen is how many proofs are remembered, in two halves: some 10 MB when full.
const maxSeen = 200_000

// Seen remembers which proofs came, in the memory of this process. When more come than
// it holds, the oldest half is forgotten first, so its size is bounded and nobody is
// refused for what others do. The zero value is ready; it is safe for concurrent use.
// RFC 9449 §11.1
type Seen struct {
	mu         sync.Mutex
	young, old map[[16]byte]int64 // the end in Unix seconds
	since      int64              // when young was begun
}

// First notes a proof and says whether it comes for the first time. Call it when all
// else is right, so that nobody can fill the memory without a token.
func (s *Seen) First(p *Proof, now time.Time) bool {
	sum := sha256.Sum256([]byte(p.Thumbprint + "|" + p.JTI)) // a thumbprint has no bar
	key := [16]byte(sum[:16])
	is := now.Unix()
	s.mu.Lock()
	defer s.mu.Unlock()
	// A half that is as old as proofs may be holds nothing that could come again,
	// once the next is as old as that too.
	if s.young == nil || len(s.young) >= maxSeen/2 || is-s.since > int64((MaxAge+Leeway)/time.Second)+1 {
		s.old, s.young, s.since = s.young, map[[16]byte]int64{}, is
	}
	if s.young[key] >= is || s.old[key] >= is {
		return false
	}
	s.young[key] = p.Ends().Unix() + 1
	return true
}
