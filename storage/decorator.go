package storage

// Decorator is implemented by a Backend that stands before another one and whose
// optional interfaces are those of that one.
type Decorator interface {
	// Unwrap returns the Backend behind. It may be another one at the next call, so
	// nobody should keep it.
	Unwrap() Backend
}

// As returns the first of b and the Backends behind it that is a T, an optional
// interface such as Census or the concrete type of a backend.
func As[T any](b Backend) (T, bool) {
	for b != nil {
		if found, ok := b.(T); ok {
			return found, true
		}
		d, ok := b.(Decorator)
		if !ok {
			break
		}
		b = d.Unwrap()
	}
	var none T
	return none, false
}
