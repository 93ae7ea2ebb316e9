package main

import (
	"log/slog"
	"time"

	"restante/internal/token"
	"restante/rendezvous"
)

// Tokens are which tokens clients must have, if any.
type Tokens struct {
	TokenSecretFile string   `group:"Who may connect" placeholder:"FILE" help:"Admit only clients with a token: a JSON Web Token that is signed with the secret in this file (HS256), of at least 32 bytes. It is read again at SIGHUP."`
	TokenJWKS       string   `group:"Who may connect" name:"token-jwks" env:"RESTANTE_TOKEN_JWKS" placeholder:"FILE" help:"The same, for tokens that are signed with one of the keys in this file, a JSON Web Key Set of public keys (RS256, ES256, EdDSA)."`
	TokenAudience   []string `group:"Who may connect" placeholder:"NAME" help:"An audience ('aud') of tokens. Without it, they must name none. Repeat for more."`
	TokenIssuer     []string `group:"Who may connect" placeholder:"NAME" help:"An issuer ('iss') of tokens. Without it, any will do. Repeat for more."`
}

// tokenConfig returns which tokens are valid.
func (t *Tokens) tokenConfig() token.Config {
	return token.Config{SecretFile: t.TokenSecretFile, JWKSFile: t.TokenJWKS, Audiences: t.TokenAudience, Issuers: t.TokenIssuer}
}

// tokens returns what verifies tokens, or nil if none are asked for.
func (t *Tokens) tokens(log *slog.Logger) (*token.Verifier, error) {
	config := t.tokenConfig()
	config.Log = log
	if !config.Enabled() {
		return nil, nil //nolint:nilnil // there is none, and that is no error
	}
	return token.NewVerifier(config)
}

// ask has a service ask for tokens.
func ask(service *rendezvous.Service, v *token.Verifier) {
	if v == nil {
		return
	}
	service.VerifyToken = func(text string, now time.Time) (rendezvous.Grant, error) {
		said, err := v.Verify(text, now)
		return rendezvous.Grant{App: rendezvous.AppID(said.App), Side: rendezvous.Side(said.Side), Expires: said.Expires}, err
	}
}

// rereadTokens reads the keys of tokens again, if there are any.
func (*Tokens) rereadTokens(v *token.Verifier, log *slog.Logger) {
	if v == nil {
		return
	}
	if err := v.Reload(); err != nil {
		log.Error("the keys of tokens stay as they were", "error", err)
		return
	}
	log.Info("read the keys of tokens again")
}
