import { randomBytes } from 'node:crypto';
import { CONNECTION_LIMITS } from '../connection-limits.js';
import {
  decodeFrameHeader,
  decodeSettings,
  encodeFrame,
  encodeSettings,
  FRAME,
  FRAME_HEADER_BYTES,
  openingBytes,
  PREFACE,
  type Setting,
} from './frames.js';

// A client of the direct stream names its connection by 128 random bits: in its first SETTINGS, as settings that peers
// ignore (RFC 9113, section 6.5.2), and in the metadata of its call, so that a server finds the connection of the call.

export const NAME_HEADER = 'locmoe-connection';
const FIRST_ID = 0xf600;
const NUM_SETTINGS = 4;

export function randomName(): string {
  return randomBytes(4 * NUM_SETTINGS).toString('hex');
}

/** Adds the name to a client's preface and SETTINGS. */
export function withName(opening: Buffer, name: string): Buffer {
  const { type, flags, stream } = decodeFrameHeader(opening.subarray(PREFACE.length));
  const words = Buffer.from(name, 'hex');
  const settings = Array.from({ length: NUM_SETTINGS }, (_, i) => ({
    id: FIRST_ID + i,
    value: words.readUInt32BE(4 * i),
  }));
  const payload = Buffer.concat([
    opening.subarray(PREFACE.length + FRAME_HEADER_BYTES),
    encodeSettings(settings),
  ]);
  return Buffer.concat([PREFACE, encodeFrame({ type, flags, stream }, payload)]);
}

/** A connection's name and settings, as its client's first bytes give them. */
export interface Opening {
  /** Null if the client has not named the connection, or speaks no HTTP/2. */
  readonly name: string | null;
  readonly settings: readonly Setting[];
}

/** Reads name and settings; returns null if more bytes have to come. */
export function readOpening(received: Buffer): Opening | null {
  const unnamed = { name: null, settings: [] };
  const start = received.subarray(0, PREFACE.length);
  if (!start.equals(PREFACE.subarray(0, start.length))) return unnamed;
  const length = openingBytes(received);
  if (length === null) return null;
  if (length > PREFACE.length + FRAME_HEADER_BYTES + CONNECTION_LIMITS.openingBytes) return unnamed;
  if (received.length < length) return null;
  if (decodeFrameHeader(received.subarray(PREFACE.length)).type !== FRAME.settings) return unnamed;
  const settings = decodeSettings(received.subarray(PREFACE.length + FRAME_HEADER_BYTES, length));
  const words = Array.from(
    { length: NUM_SETTINGS },
    (_, i) => settings.find(({ id }) => id === FIRST_ID + i)?.value,
  );
  if (words.includes(undefined)) return { name: null, settings };
  return { name: words.map((word) => word!.toString(16).padStart(8, '0')).join(''), settings };
}
