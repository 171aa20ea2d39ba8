import { encodeHead } from '../../src/rpc/frame-codec.js';
import type { Frame } from '../../src/rpc/generated/messages.js';

/** A frame whose payload may be any bytes. */
type AnyFrame = Omit<Frame, 'payload'> & { readonly payload: Uint8Array };

/** A frame as the relay sends it. */
export function encodeFrame({ generation, operation, sections, payload }: AnyFrame): Buffer {
  return Buffer.concat([encodeHead(generation, operation, sections, payload.length), payload]);
}
