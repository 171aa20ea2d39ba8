import { openFrame } from '../../src/rpc/frame-codec.js';
import type { Frame } from '../../src/rpc/generated/messages.js';

/** A frame whose payload may be any bytes. */
type AnyFrame = Omit<Frame, 'payload'> & { readonly payload: Uint8Array };

/** A frame with its payload filled in, as the relay sends it. */
export function encodeFrame({ generation, operation, sections, payload }: AnyFrame): Buffer {
  const open = openFrame(generation, operation, sections, payload.length);
  open.payload.set(payload);
  return open.encoded;
}
