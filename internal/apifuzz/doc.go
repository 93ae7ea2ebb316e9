// Package apifuzz sends requests that are drawn from openapi/openapi.yaml to the real handlers: valid ones, ones that
// break one rule, and hostile ones, for every operation and in any order. It checks each answer against the contract, and
// bounds what a request may cost. A seed makes all choices, and the server runs in virtual time, so a failure repeats.
//
// It checks one answer at a time. What several answers must say together is checked by internal/simulation and
// internal/torture.
package apifuzz
