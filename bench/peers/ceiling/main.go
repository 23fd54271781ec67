// Command ceiling is net/http answering constants in the shape of a provider's answers:
// no server in Go on net/http can be faster on the same machine.
package main

import (
	"context"
	"net/http"
	"os"
	"strconv"
	"strings"

	"github.com/doorward/doorward/bench/peer"
)

func main() { os.Exit(peer.Main(build)) }

// The answers are as long as those of a provider.
const (
	token         = `{"access_token":"Zm9yLW1lYXN1cmluZy1vbmx5LW5vdC1hLXRva2VuLWF0LWFsbA","expires_in":3600,"scope":"notes:read","token_type":"Bearer"}`
	introspection = `{"active":true,"aud":["https://api.test"],"client_id":"web","exp":4102444800,"iat":4102441200,"scope":"openid","sub":"person-1","token_type":"Bearer"}`
	person        = `{"sub":"person-1"}`
	key           = `{"kty":"EC","crv":"P-256","kid":"measure","use":"sig","alg":"ES256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}`
	keys          = `{"keys":[` + key + `,` + key + `]}`
)

func build(_ context.Context, _ peer.Options, issuer string) (*peer.Server, error) {
	mux := http.NewServeMux()
	constant := func(path, text string) {
		body := []byte(text)
		length := []string{strconv.Itoa(len(body))}
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			header := w.Header()
			header["Content-Type"], header["Content-Length"] = []string{"application/json"}, length
			header["Cache-Control"] = []string{"no-store"}
			_, _ = w.Write(body) // the load has gone: nobody is left to tell
		})
	}
	constant("/token", token)
	constant("/introspect", introspection)
	constant("/userinfo", person)
	constant("/jwks", keys)
	metadata := `{"issuer":"` + issuer + `","token_endpoint":"` + issuer + `/token","introspection_endpoint":"` + issuer + `/introspect","userinfo_endpoint":"` + issuer + `/userinfo","jwks_uri":"` + issuer + `/jwks","claims_supported":["sub"` + strings.Repeat(`,"a_claim_for_the_length_alone"`, 80) + `]}`
	constant("/.well-known/openid-configuration", metadata)
	const reason = "a constant leads through no flow"
	lacks := map[string]string{"login": reason, "signed-in": reason, "refresh": reason, "revocation": reason, "par": reason}
	return &peer.Server{Handler: mux, Ready: peer.Ready{Constant: true, Lacks: lacks}}, nil
}
