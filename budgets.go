package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"restante/handlers"
	"restante/internal/listen"
	"restante/rendezvous"
)

// Budgets are what an address may take of what all share.
type Budgets struct {
	MaxNameplatesPerAddress int           `group:"Limits" default:"64" help:"Nameplates that may be held from an address (${default}). After a sixteenth of them, it is allocated longer ones."`
	MaxBytesPerAddress      int64         `group:"Limits" default:"268435456" help:"Bytes that may be stored from an address, in mailboxes, messages and recorded replies (${default})."`
	MaxStoredBytes          int64         `group:"Limits" default:"17179869184" help:"Bytes that may be stored in all (${default})."`
	MaxUsageRecords         int           `group:"Limits" default:"1000000" help:"Usage records of nameplates and of mailboxes, and client versions, that are kept, so many of each (${default}). The oldest are deleted before the end of --usage-retention."`
	MaxConnections          int           `group:"Limits" default:"500" help:"Connections of an address, except --trusted-proxies (${default}). In all, there are about as many as 90% of the file descriptors."`
	ClaimRate               float64       `group:"Limits" default:"30" help:"Nameplates that may be allocated and claimed from an address in a minute, where a claim of one that was never allocated counts as ten; 0 for no limit (${default}). There is none either with --request-rate=0."`
	ClaimBurst              int           `group:"Limits" default:"60" help:"Nameplates that may be allocated and claimed from an address at once (${default})."`
	NameplateRest           time.Duration `group:"How long things live" default:"1m" help:"How long a nameplate that was retired is not allocated again (${default})."`
	ForwardedHeader         string        `group:"Limits" default:"X-Forwarded-For" placeholder:"NAME" help:"The header in which --trusted-proxies name the client: X-Forwarded-For, X-Real-IP, Forwarded, or another one with addresses (${default})."`
	UsageRetention          time.Duration `group:"How long things live" default:"2160h" help:"How long usage records and client versions are kept (${default})."`
}

// validateBudgets refuses what cannot work.
func (b *Budgets) validateBudgets() error {
	if err := handlers.CheckForwardedHeader(b.ForwardedHeader); err != nil {
		return fmt.Errorf("--forwarded-header %q: %w", b.ForwardedHeader, err)
	}
	switch {
	case !isRate(b.ClaimRate) || b.ClaimRate > 0 && b.ClaimBurst < 1:
		return errors.New("--claim-rate must be a number, and cannot be negative, and --claim-burst must be at least 1 while there is one")
	case b.NameplateRest < 0 || b.UsageRetention < 0:
		return errors.New("--nameplate-rest and --usage-retention cannot be negative")
	case min(b.MaxNameplatesPerAddress, b.MaxConnections, b.MaxUsageRecords) < 1 || min(b.MaxBytesPerAddress, b.MaxStoredBytes) < 1:
		return errors.New("limits must be at least 1")
	}
	return nil
}

// budget sets the budgets of the service. Without a limit of requests there is none of claims: an operator who lifts the one,
// because all clients have one address, needs the other lifted, too.
func (b *Budgets) budget(p *rendezvous.Config, requestRate float64) {
	if requestRate == 0 {
		b.ClaimRate = 0
	}
	p.Limits.AddressNameplates, p.Limits.ClaimRate, p.Limits.ClaimBurst = b.MaxNameplatesPerAddress, b.ClaimRate, b.ClaimBurst
	p.Limits.AddressBytes, p.Limits.StoredBytes = b.MaxBytesPerAddress, b.MaxStoredBytes
	p.NameplateRest, p.UsageRetention, p.Limits.UsageRecords = b.NameplateRest, b.UsageRetention, b.MaxUsageRecords
}

// reservedDescriptors is how many descriptors are kept for the database, listeners and whatever else is not a client.
const reservedDescriptors = 32

// connections returns the budget of connections.
func (b *Budgets) connections(service *rendezvous.Service, proxies []netip.Prefix, log *slog.Logger) *listen.Budget {
	return &listen.Budget{
		PerAddress: b.MaxConnections, Total: mostConnections(listen.Descriptors()), Exempt: proxies, Log: log, Name: service.AddressID,
	}
}

// mostConnections returns how many connections there may be with so many descriptors, or 0 for any number.
func mostConnections(descriptors int) int {
	if descriptors == 0 {
		return 0
	}
	return max(descriptors*9/10-reservedDescriptors, descriptors/2)
}
