package dpop

import (
	"crypto/hmac"
	"encoding/base64"
	"encoding/binary"
	"time"
)

const (
	// nonceSlot is how long the same nonce is given out. One is good for the rest of
	// its slot and for the next: 2 to 4 minutes.
	nonceSlot = 2 * time.Minute

	slotSize = 8
	macSize  = 16
)

// Nonces gives nonces and knows its own, with no list of them: a nonce is a slot of
// time and a MAC over it. All who share the MAC's key give and accept the same ones.
// RFC 9449 §8
type Nonces struct {
	// MAC is a keyed hash of 16 bytes or more, for this purpose alone.
	MAC func(data []byte) []byte
}

// At returns the nonce of the moment.
func (n Nonces) At(now time.Time) string { return n.make(slotOf(now)) }

// Good says whether a nonce may still be used, and whether it is the one of the moment:
// if not, its user is to be told the new one before the old one ends. A replica whose
// clock is ahead may have given the next one. RFC 9449 §8.2
func (n Nonces) Good(nonce string, now time.Time) (good, current bool) {
	slot := slotOf(now)
	for _, s := range []int64{slot, slot - 1, slot + 1} {
		if hmac.Equal([]byte(nonce), []byte(n.make(s))) {
			return true, s >= slot
		}
	}
	return false, false
}

func (n Nonces) make(slot int64) string {
	raw := binary.BigEndian.AppendUint64(make([]byte, 0, slotSize+macSize), uint64(slot))
	return base64.RawURLEncoding.EncodeToString(append(raw, n.MAC(raw)[:macSize]...))
}

func slotOf(now time.Time) int64 { return now.Unix() / int64(nonceSlot/time.Second) }
