// Package jsonvalue copies values of JSON, as encoding/json makes them of any.
package jsonvalue

import "slices"

// Clone returns a copy of a value of JSON that shares nothing with it. What is kept in memory
// belongs to all requests that look at it, and a host may change what it is given. A value of
// another kind is returned as it is.
func Clone(value any) any {
	switch v := value.(type) {
	case []string:
		return slices.Clone(v)
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = Clone(v[i])
		}
		return list
	case map[string]any:
		members := make(map[string]any, len(v))
		for name := range v {
			members[name] = Clone(v[name])
		}
		return members
	}
	return value
}
