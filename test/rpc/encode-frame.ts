import { type Frame, openFrame } from '../../src/rpc/frame-codec.js';

/** A frame with its payload filled in, as the relay sends it. */
export function encodeFrame({ generation, operation, sections, payload }: Frame): Buffer {
  const open = openFrame(generation, operation, sections, payload.length);
  open.payload.set(payload);
  return open.encoded;
}
