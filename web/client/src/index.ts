/**
 * The client of Restante for browsers: sessions that survive throttled tabs, lost networks and reloads.
 *
 *     const session = await connect({ url: 'https://mail.example.org', appId: 'example.org/chat' });
 *     const mailbox = await session.claim('4');
 *     await mailbox.add('hello', 'Tea at four?');
 *     for await (const message of mailbox.messages()) show(message.body);
 */
export { connect, type Progress, type Session } from './session.js';
export type { Abortable, Mailbox } from './mailbox.js';
export { Subject, type Observable } from './observable.js';
export type { Options } from './options.js';
export type { Platform } from './platform.js';
export { RestanteError } from './problem.js';
export type { Added, Code, Draft, Message, Mood, Occupant, Problem, SessionView, Welcome } from './schemas.js';
export type { BackingOff, Closed, Connected, Connecting, Handshaking, NoConnection, State } from './state.js';
export type { Transport } from './transport.js';
