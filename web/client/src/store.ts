import type { Platform } from './platform.js';
import type { Occupant } from './schemas.js';

/** All that a session needs to go on after a reload, but for its commands. Its members are the stored format: keep their names. */
export interface SessionRecord {
  appId: string;
  /** The credential. */
  sessionId: string;
  /** This side in every mailbox; unknown until the first handshake is answered, unless the application chose it. */
  side?: string | undefined;
  /** Of the last handshake that was answered; 0 before the first. */
  epoch: number;
  /** The next frame wanted: all below it are processed. */
  frame: number;
  /** The number of the next command. */
  command: number;
  /** The command that may have reached the server with that number, by its place in the queue. */
  sent?: number | undefined;
  /** The session that this one ends and whose side it takes, until its handshake is answered. */
  replaces?: string | undefined;
  /** The name of the lock that tells this tab from a copy of it. */
  tab: string;
  /** Frames may still come about mailboxes that are not among these any more. */
  dropped?: boolean | undefined;
  mailboxes: Record<string, MailboxRecord>;
}

/** A mailbox that this session has open, or is opening. */
export interface MailboxRecord {
  /** The last message processed. */
  position: number;
  /** All that this side added up to here is known to be in the log. */
  added: number;
  sides: Occupant[];
  nameplate?: string | undefined;
  /** Up to here the log was too long to be sent, and is read page by page. */
  behind?: number;
  /** Why it is gone, if it is. */
  retired?: 'closed' | 'pruned' | undefined;
  /** Frames below this one are about a mailbox that had the id before. Null as long as all may be: this one is not opened yet. */
  since?: number | null | undefined;
  /** If it is retired, this frame and those above it are about another one that has the id by now. */
  until?: number | undefined;
}

/** A request that changes something, or (`query`) only reads. Its members are the stored format: keep their names. */
export interface Command {
  /** Its place in the queue. */
  n: number;
  kind: 'allocate' | 'claim' | 'open' | 'reopen' | 'add' | 'release' | 'close' | 'end' | 'query';
  method: string;
  path: string;
  /** JSON: byte for byte the same each time it is sent. */
  body?: string | undefined;
  /** The mailbox that it is about, if it is about one. */
  mailbox: string;
  /** It was sent as a session that is over, and may have been done. */
  doubtful?: boolean;
}

/** Returns the record of a session that begins. */
export function newRecord(platform: Platform, appId: string, side?: string): SessionRecord {
  const blank = { epoch: 0, frame: 0, command: 0, mailboxes: byId() };
  return { appId, sessionId: platform.id(), side, tab: platform.id(), ...blank };
}

/** Returns mailboxes by their ids. An id may be a name that every other object has by itself, such as `constructor`. */
function byId(mailboxes?: SessionRecord['mailboxes']): SessionRecord['mailboxes'] {
  return Object.assign(Object.create(null), mailboxes) as SessionRecord['mailboxes'];
}

/** Keeps a record and its commands where they survive a reload. Where that fails they live as long as the page. */
export interface Store {
  record(): SessionRecord | undefined;
  commands(): Command[];
  save(record: SessionRecord): void;
  keep(command: Command): void;
  forget(command: Command): void;
  clear(): void;
}

/** Returns the name of a place in the storage. No two lists of parts have the same, and none has a `#` from its parts. */
export function placeName(...parts: string[]): string {
  return parts.map((part) => part.replace(/[ #%]/g, encodeURIComponent)).join(' ');
}

/** Opens the store at a place, the name of which is from `placeName`. */
export function openStore(storage: Platform['storage'], place: string): Store {
  const placeOf = ({ n }: Command) => `${place}#${n}`;
  /** A storage may be full, or fail at any time. What is kept there may be old then, and the server will say so. */
  const attempt = <T>(use: (storage: NonNullable<Platform['storage']>) => T): T | undefined => {
    try {
      return storage && use(storage);
    } catch {
      return undefined;
    }
  };
  const read = (key: string) => attempt((storage) => JSON.parse(storage.getItem(key) ?? '') as unknown);
  const write = (key: string, value: unknown) => attempt((storage) => storage.setItem(key, JSON.stringify(value)));
  const remove = (key: string) => attempt((storage) => storage.removeItem(key));
  const all = () => attempt((storage) => Array.from({ length: storage.length }, (_, i) => storage.key(i)!)) ?? [];
  const keys = () => all().filter((key) => key.startsWith(`${place}#`) && /#-?\d+$/.test(key));
  return {
    record: () => {
      const stored = read(place) as SessionRecord | undefined;
      return stored?.sessionId ? { ...stored, mailboxes: byId(stored.mailboxes) } : undefined;
    },
    commands: () => keys().map((key) => read(key) as Command).filter((command) => command?.path).sort((a, b) => a.n - b.n),
    save: (record) => write(place, record),
    keep: (command) => write(placeOf(command), command),
    forget: (command) => remove(placeOf(command)),
    clear: () => [place, ...keys()].forEach(remove),
  };
}
