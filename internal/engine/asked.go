package engine

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"

	"github.com/doorward/doorward/internal/jws"
	"github.com/doorward/doorward/storage"
)

const (
	maxAsked      = 4 << 10 // bytes of the parameter claims; it is kept with the grant
	maxAskedNames = 50      // in each of its two parts
	maxAskedName  = 255     // bytes
)

// readClaims reads the parameter claims. What the specification does not know is
// passed over, what it knows must have its form: a client that is half understood gets
// less than it counts on, and finds out late. OpenID Connect Core §5.5
func (a *Authorization) readClaims(form url.Values) *Error {
	sent := form.Get("claims")
	if sent == "" {
		return nil
	}
	if len(sent) > maxAsked {
		return refuse(codeInvalidRequest, "claims_too_large", "The parameter claims is too large: at most 4096 bytes are accepted.").
			detail("it has %d bytes", len(sent))
	}
	parts, err := jws.Members([]byte(sent))
	if err != nil {
		return claimsMalformed("is not a JSON object").cause(err)
	}
	for _, part := range []struct {
		name string
		into *map[string]storage.AskedClaim
	}{{"id_token", &a.Asked.IDToken}, {"userinfo", &a.Asked.UserInfo}} {
		if raw, there := parts[part.name]; there && !isNull(raw) {
			if *part.into, err = askedIn(raw); err != nil {
				return claimsMalformed("has a member " + part.name + " that is malformed: " + err.Error())
			}
		}
	}
	if !slices.Contains(a.Scopes, scopeOpenID) { // there is neither an ID token nor userinfo
		a.Asked = storage.AskedClaims{}
	}
	return a.readEssentialACR()
}

// readEssentialACR reads the acr values that the client can't do without. OpenID
// Connect Core §5.5.1.1
func (a *Authorization) readEssentialACR() *Error {
	acr, there := a.Asked.IDToken["acr"]
	if !there {
		return nil
	}
	wanted := acr.Strings()
	count := len(acr.Values)
	if acr.Value != nil {
		count++
	}
	switch {
	case len(wanted) != count:
		return claimsMalformed("asks for an acr that is no text")
	case acr.Essential:
		a.EssentialACR = wanted
	default:
		for _, v := range wanted {
			if !slices.Contains(a.ACRValues, v) {
				a.ACRValues = append(a.ACRValues, v)
			}
		}
	}
	return nil
}

func claimsMalformed(how string) *Error {
	return refuse(codeInvalidRequest, "claims_malformed", clean("The parameter claims "+how+".", 200))
}

func askedIn(raw json.RawMessage) (map[string]storage.AskedClaim, error) {
	members, err := jws.Members(raw)
	switch {
	case err != nil:
		return nil, fmt.Errorf("it is not a JSON object")
	case len(members) > maxAskedNames:
		return nil, fmt.Errorf("it names more than %d claims", maxAskedNames)
	}
	asked := make(map[string]storage.AskedClaim, len(members))
	for name, raw := range members {
		if name == "" || len(name) > maxAskedName {
			return nil, fmt.Errorf("the name of a claim is empty or longer than %d bytes", maxAskedName)
		}
		if asked[name], err = askedClaim(raw); err != nil {
			return nil, fmt.Errorf("%s %w", quote(name), err)
		}
	}
	return asked, nil
}

func askedClaim(raw json.RawMessage) (c storage.AskedClaim, err error) {
	if isNull(raw) {
		return c, nil
	}
	members, err := jws.Members(raw)
	if err != nil {
		return c, fmt.Errorf("is neither null nor a JSON object")
	}
	if essential, there := members["essential"]; there {
		switch string(essential) {
		case "true":
			c.Essential = true
		case "false":
		default:
			return c, fmt.Errorf("has an essential that is neither true nor false")
		}
	}
	if value, there := members["value"]; there && !isNull(value) {
		if err := decodeNumbers(value, &c.Value); err != nil {
			return c, fmt.Errorf("has a value that is malformed")
		}
	}
	if values, there := members["values"]; there {
		if err := decodeNumbers(values, &c.Values); err != nil || len(c.Values) == 0 || slices.Contains(c.Values, nil) {
			return c, fmt.Errorf("has values that are no list of at least one")
		}
	}
	return c, nil
}

// decodeNumbers decodes JSON and keeps numbers as they are written: whole ones would
// change above 2^53.
func decodeNumbers(raw []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	return decoder.Decode(into)
}

func isNull(raw json.RawMessage) bool { return string(raw) == "null" }

// askedOf returns the claims of a person that are asked for one by one, and whose
// values are of use where only some are: a client that asks whether the address is one
// of its own need not learn another. OpenID Connect Core §5.5.1
func askedOf(asked map[string]storage.AskedClaim, user map[string]any) map[string]any {
	found := map[string]any{}
	for name, how := range asked {
		if value, there := user[name]; there && how.Takes(value) {
			found[name] = value
		}
	}
	return found
}
