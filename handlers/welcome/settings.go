// Package welcome is what an operator tells every client that connects, and asks of it. Sessions and the wormhole
// protocol both greet with it, so it belongs to neither.
package welcome

// Settings are what clients are told and asked. They can change while the server runs.
type Settings struct {
	// Motd is a message to show to people.
	Motd string `json:"motd"`
	// AdvertiseVersion is the client version that people should have.
	AdvertiseVersion string `json:"advertiseVersion"`
	// SignalError makes every client end with this text.
	SignalError string `json:"signalError"`
	// DisallowList makes the server list no nameplates.
	DisallowList bool `json:"disallowList"`
	// HashcashBits is how many bits a client's hashcash stamp must have; 0 asks for no stamp.
	HashcashBits int `json:"hashcashBits"`
}
