// Command stranger exchanges two messages through a client that oapi-codegen generates from the contract. It uses
// nothing else of the server's code. It prints the message that each side receives.
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"time"

	"stranger/client"
)

// side is one of the two participants.
type side struct {
	api *client.ClientWithResponses
	ack client.Sequence // the next frame it wants
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := run(ctx, os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, server string) error {
	a, err := begin(ctx, server)
	if err != nil {
		return err
	}
	b, err := begin(ctx, server)
	if err != nil {
		return err
	}
	allocated, err := a.api.AllocateNameplateWithResponse(ctx, nil, client.Lifetime{})
	if err != nil {
		return err
	}
	if allocated.JSON201 == nil {
		return fmt.Errorf("allocate: %s", allocated.Body)
	}
	claimed, err := b.api.ClaimNameplateWithResponse(ctx, allocated.JSON201.Nameplate, nil, client.Lifetime{})
	if err != nil {
		return err
	}
	if claimed.JSON200 == nil {
		return fmt.Errorf("claim: %s", claimed.Body)
	}
	mailbox := claimed.JSON200.Mailbox
	for _, s := range []*side{a, b} {
		opened, err := s.api.OpenMailboxWithResponse(ctx, mailbox, nil, client.Lifetime{})
		if err != nil {
			return err
		}
		if opened.JSON200 == nil {
			return fmt.Errorf("open: %s", opened.Body)
		}
	}
	for _, step := range []struct {
		from, to *side
		text     string
	}{{a, b, "ping"}, {b, a, "pong"}} {
		var draft client.Drafts
		if err := draft.FromDraft(client.Draft{Phase: "chat", Body: step.text}); err != nil {
			return err
		}
		added, err := step.from.api.AddMessageWithResponse(ctx, mailbox, nil, draft)
		if err != nil {
			return err
		}
		if added.JSON201 == nil {
			return fmt.Errorf("add: %s", added.Body)
		}
		message, err := step.to.message(ctx)
		if err != nil {
			return err
		}
		fmt.Println(message.Position, message.Phase, message.Body)
	}
	return nil
}

// begin begins a session.
func begin(ctx context.Context, server string) (*side, error) {
	var session client.SessionID
	credential := func(_ context.Context, r *http.Request) error {
		if session != "" {
			r.Header.Set("Authorization", "Bearer "+session)
		}
		return nil
	}
	api, err := client.NewClientWithResponses(server, client.WithRequestEditorFn(credential))
	if err != nil {
		return nil, err
	}
	begun, err := api.BeginSessionWithResponse(ctx, client.Handshake{ProtocolVersion: "1", AppId: "example.org/stranger"})
	if err != nil {
		return nil, err
	}
	if begun.JSON201 == nil {
		return nil, fmt.Errorf("handshake: %s", begun.Body)
	}
	session = begun.JSON201.SessionId
	return &side{api: api, ack: begun.JSON201.NextSentSeq}, nil
}

// message receives frames up to the next message.
func (s *side) message(ctx context.Context) (*client.MessageFrame, error) {
	for {
		got, err := s.api.ReceiveWithResponse(ctx, &client.ReceiveParams{Ack: &s.ack})
		if err != nil {
			return nil, err
		}
		if got.JSON200 == nil {
			return nil, fmt.Errorf("receive: %s", got.Body)
		}
		for _, frame := range got.JSON200.Frames {
			value, err := frame.ValueByDiscriminator()
			if err != nil {
				return nil, err
			}
			switch f := value.(type) {
			case client.MessageFrame:
				s.ack = f.Seq + 1
				return &f, nil
			case client.OpenedFrame:
				s.ack = f.Seq + 1
			default:
				return nil, fmt.Errorf("unexpected frame %T", f)
			}
		}
	}
}
