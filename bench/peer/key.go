package peer

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"net/http"

	"github.com/go-jose/go-jose/v4"
)

// KeyID names the one signing key of a server.
const KeyID = "bench"

// Key makes a signing key for ES256 or RS256, of 2048 bits.
func Key(algorithm string) (crypto.Signer, error) {
	if algorithm == "RS256" {
		return rsa.GenerateKey(rand.Reader, 2048)
	}
	return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
}

// KeySet answers with the public key, for libraries that have no such endpoint: it
// encodes the set at every request, as hosts commonly do.
func KeySet(key crypto.Signer, algorithm string) http.HandlerFunc {
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: KeyID, Algorithm: algorithm, Use: "sig"}}}
	return func(w http.ResponseWriter, _ *http.Request) { WriteJSON(w, set) }
}

// WriteJSON encodes an answer.
func WriteJSON(w http.ResponseWriter, answer any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer) // the load has gone: nobody is left to tell
}
