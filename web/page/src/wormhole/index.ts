/**
 * The wormhole protocol for text: two sides that share a code send each other notes, encrypted from end to end, through any
 * server that speaks it, and with any client that does: a page like this one, or `wormhole` in a terminal.
 *
 *     const session = await connect({ appId: APP_ID });
 *     abandon(session, store);
 *     const conversation = resume(session, store) ?? offer(session, store);
 *     conversation.status.subscribe((status) => …);
 *     conversation.say('Tea at four?');
 */
export { check, complete, normal } from './code.js';
export { abandon, join, offer, peek, resume, type Conversation } from './conversation.js';
export type { StateStore } from './store.js';
export type { Note } from './note.js';
export type { Problem } from './problem.js';
export type { End, Status } from './status.js';

/** The application of all wormhole clients that send texts and files. */
export const APP_ID = 'lothar.com/wormhole/text-or-file-xfer';
