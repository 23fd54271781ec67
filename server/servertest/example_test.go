package servertest_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/doorward/doorward/server/servertest"
)

// The API under test accepts the tokens of a real provider.
func Example() {
	t := newT() // your *testing.T
	defer t.done()

	idp := servertest.New(t)
	api := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		access, err := idp.Server.AccessToken(r.Context(), token)
		if err != nil || !access.Allows("notes:read") {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, "refused")
			return
		}
		fmt.Fprintf(w, "the notes of %s", access.Subject)
	})
	get := func(token string) {
		r := httptest.NewRequest(http.MethodGet, "/notes", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		api.ServeHTTP(w, r)
		fmt.Println(w.Code, w.Body)
	}

	token := idp.Token("alice", "notes:read")
	get(token)
	get(idp.Token("alice", "openid")) // another scope
	idp.Advance(2 * time.Hour)        // and the first has expired
	get(token)
	// Output:
	// 200 the notes of alice
	// 401 refused
	// 401 refused
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
