package handlers

import (
	"encoding/json"
	"math"
	"testing"
)

// FuzzObject holds the encoding of answers to that of encoding/json, byte by byte.
func FuzzObject(f *testing.F) {
	f.Add("scope", "openid profile", "<b>&\"\\", int64(-1), 1.5, true)
	f.Add("", "\u2028\x7f\x00", "\xff\xfe", int64(math.MaxInt64), math.Copysign(0, -1), false)
	f.Add("é", "日本", "\U0001f600", int64(0), 1e300, true)
	f.Fuzz(func(t *testing.T, name, text, other string, number int64, fraction float64, truth bool) {
		for _, members := range []map[string]any{
			nil,
			{},
			{name: text, name + "2": number, "truth": truth, "list": []string{text, other}, other: []string{}, "none": []string(nil)},
			{name: fraction, "nested": map[string]any{name: []any{text, number, nil}}, "nothing": nil, "raw": json.Number("12"), "many": []int{1, 2}},
			{name: struct {
				JKT string `json:"jkt,omitempty"`
			}{text}, other: &number},
		} {
			if members == nil {
				members = map[string]any{}
			}
			want, wantErr := json.Marshal(members)
			got, err := appendObject(nil, members)
			if string(got) != string(want) || (err == nil) != (wantErr == nil) {
				t.Errorf("%q, %v, want %q, %v", got, err, want, wantErr)
			}
		}
	})
}
