package servertest_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/doorward/doorward/handlers/bearer"
	"github.com/doorward/doorward/server/servertest"
)

// The API under test accepts the tokens of a real provider.
func Example() {
	t := newT() // your *testing.T
	defer t.done()

	idp := servertest.New(t)
	api := bearer.Require(idp.Server, "notes:read")(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "the notes of %s", bearer.FromContext(r.Context()).Subject)
	}))
	get := func(token string) {
		r := httptest.NewRequest(http.MethodGet, "/notes", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		api.ServeHTTP(w, r)
		if w.Code == http.StatusOK {
			fmt.Println(w.Code, w.Body)
			return
		}
		fmt.Println(w.Code, w.Header().Get("WWW-Authenticate"))
	}

	token := idp.Token("alice", "notes:read")
	get(token)
	get(idp.Token("alice", "openid")) // another scope
	idp.Advance(2 * time.Hour)        // and the first has expired
	get(token)
	// Output:
	// 200 the notes of alice
	// 403 Bearer error="insufficient_scope", error_description="The access token does not have the scopes that this request needs.", scope="notes:read openid"
	// 401 Bearer error="invalid_token", error_description="The access token is unknown, expired or revoked.", scope="notes:read"
}

// A client that refreshes survives a lost answer, within 30 seconds.
func ExampleProvider_Refresh() {
	t := newT() // your *testing.T
	defer t.done()

	idp := servertest.New(t)
	tokens := idp.Tokens("alice", "openid", "offline_access")
	lost := idp.Refresh(tokens.RefreshToken)
	idp.Advance(20 * time.Second)
	again := idp.Refresh(tokens.RefreshToken)
	fmt.Println(lost.RefreshToken == again.RefreshToken)
	// Output: true
}
