package repo

import "restante/rendezvous"

// addressBytesRow is how many bytes count for an address.
type addressBytesRow struct {
	Address string
	Bytes   int64
}

// CountBytes counts more bytes of a mailbox for an address.
func (t *tx) CountBytes(k rendezvous.MailboxKey, more rendezvous.AddressBytes) (err error) {
	defer annotate(&err, "counting bytes of mailbox %d", k)
	return t.besideMessages(func() error { return t.change(countBytes, k, more.Address, more.Bytes) })
}

const countBytes = `
	INSERT INTO stored_bytes (mailbox, address, bytes) VALUES (?, ?, ?)
	ON CONFLICT (mailbox, address) DO UPDATE SET bytes = stored_bytes.bytes + excluded.bytes`

// ReleaseBytes forgets what counts for a mailbox, unless its log is kept, and returns it.
func (t *tx) ReleaseBytes(k rendezvous.MailboxKey) (_ []rendezvous.AddressBytes, err error) {
	defer annotate(&err, "releasing the bytes of mailbox %d", k)
	rows, err := queryAllReturning[addressBytesRow](t, `
		DELETE FROM stored_bytes
		WHERE mailbox = ? AND NOT EXISTS (SELECT 1 FROM retired_logs AS r WHERE r.mailbox = stored_bytes.mailbox)
		RETURNING address, bytes`, k)
	return mapSlice(rows, addressBytesRow.value), err
}

// StoredBytes sums up what counts for each address.
func (t *tx) StoredBytes() (_ []rendezvous.AddressBytes, err error) {
	defer annotate(&err, "summing up what is stored")
	rows, err := queryAll[addressBytesRow](t, `
		SELECT address, CAST(SUM(bytes) AS BIGINT) AS bytes FROM (
			SELECT address, bytes FROM stored_bytes
			UNION ALL
			SELECT address, size AS bytes FROM keyed_replies WHERE size > 0) AS parts
		GROUP BY address`)
	return mapSlice(rows, addressBytesRow.value), err
}

func (r addressBytesRow) value() rendezvous.AddressBytes {
	return rendezvous.AddressBytes{Address: r.Address, Bytes: r.Bytes}
}
