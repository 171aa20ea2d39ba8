import { decodeHead, encodeHead } from '../../src/rpc/frame-codec.js';
import type { Frame } from '../../src/rpc/generated/messages.js';
import type { ByteReceiver } from '../../src/rpc/http2/direct-client.js';
import { MESSAGE_PREFIX_BYTES, messagePrefix } from '../../src/rpc/http2/frames.js';

/** A frame whose payload may be any bytes. */
type AnyFrame = Omit<Frame, 'payload'> & { readonly payload: Uint8Array };

/** Encodes a frame as the relay sends it. */
export function encodeFrame({ generation, operation, sections, payload }: AnyFrame): Buffer {
  return Buffer.concat([encodeHead(generation, operation, sections, payload.length), payload]);
}

/** Decodes a whole frame, whose payload is a view of `bytes`. */
export function decodeFrame(bytes: Buffer): Frame {
  const { generation, operation, sections, headBytes } = decodeHead(bytes, bytes.length)!;
  return { generation, operation, sections, payload: bytes.subarray(headBytes) };
}

/** Encodes a frame as a message of a call, as its receiver gets it. */
export function messageOf(frame: AnyFrame): Buffer {
  const encoded = encodeFrame(frame);
  return Buffer.concat([messagePrefix(encoded.length), encoded]);
}

/** Reassembles the bytes of a call and reports complete frames. */
export function frameReader(onFrame: (frame: Frame) => void = () => undefined): ByteReceiver {
  let rest: Buffer = Buffer.alloc(0);
  return {
    place: () => null,
    filled: () => undefined,
    take(bytes) {
      rest = Buffer.concat([rest, bytes]);
      while (rest.length >= MESSAGE_PREFIX_BYTES) {
        const end = MESSAGE_PREFIX_BYTES + rest.readUInt32BE(1);
        if (rest.length < end) return;
        const message = rest.subarray(MESSAGE_PREFIX_BYTES, end);
        rest = rest.subarray(end);
        onFrame(decodeFrame(message));
      }
    },
  };
}
