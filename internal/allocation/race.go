//go:build race

package allocation

const race = true
