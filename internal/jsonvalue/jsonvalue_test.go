package jsonvalue

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestClone(t *testing.T) {
	made := func() map[string]any {
		return map[string]any{"list": []any{map[string]any{"a": []any{"b"}}, nil}, "words": []string{"one"}, "number": 7.0}
	}
	given, want := made(), made()
	got, ok := Clone(given).(map[string]any)
	if diff := cmp.Diff(want, got); !ok || diff != "" {
		t.Fatalf("the copy (-want +got):\n%s", diff)
	}
	inner := got["list"].([]any)[0].(map[string]any)
	inner["a"].([]any)[0], inner["new"] = "changed", true
	got["list"].([]any)[1], got["words"].([]string)[0], got["number"] = "x", "two", 8.0
	if diff := cmp.Diff(want, given); diff != "" {
		t.Errorf("what was done to the copy is seen in the original (-want +got):\n%s", diff)
	}
}
