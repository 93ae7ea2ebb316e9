import type { components } from './contract.gen.js';

type Schemas = components['schemas'];

/** What has failed, and what to do next (RFC 9457). */
export type Problem = Omit<Schemas['Problem'], 'code'> & { code: Code };
/** The contract's codes, and those of the client itself. */
export type Code = Schemas['Code'] | 'UNREACHABLE' | 'LEFT';
export type Mood = Schemas['Mood'];
export type Occupant = Schemas['Occupant'];
export type Welcome = Schemas['Welcome'];
export type Message = Schemas['Message'];
export type Added = Schemas['Added'];
export type AllAdded = Schemas['AllAdded'];

export type Handshake = Schemas['Handshake'];
export type Challenge = Schemas['HashcashChallenge'];
export type HandshakeReply = Schemas['HandshakeReply'];
export type Received = Schemas['Received'];
export type Frame = Schemas['Frame'];
export type MessageFrame = Schemas['MessageFrame'];
export type Claim = Schemas['Claim'];
export type Opened = Schemas['Mailbox'];
export type Nameplates = Schemas['Nameplates'];
export type Messages = Schemas['Messages'];
export type Draft = Schemas['Draft'];
/** A session as the server describes it. */
export type SessionView = Schemas['Session'];
