package repo

// AddressKey returns the key for the addresses of a day, making it if there is none.
func (t *tx) AddressKey(day int64, fresh []byte) (_ []byte, err error) {
	defer annotate(&err, "loading the key for addresses")
	if err := t.change(`INSERT INTO address_keys (day, secret) VALUES (?, ?) ON CONFLICT (day) DO NOTHING`, day, fresh); err != nil {
		return nil, err
	}
	if err := t.change(`DELETE FROM address_keys WHERE day < ?`, day-1); err != nil {
		return nil, err
	}
	return queryOne[[]byte](t, `SELECT secret FROM address_keys WHERE day = ?`, day)
}
