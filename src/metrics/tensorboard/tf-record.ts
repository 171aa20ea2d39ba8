import { crc32c } from '@node-rs/crc32';

/** One record of a TFRecord file: length (8 bytes, little-endian), its checksum, the data, its checksum. */
export function tfRecord(data: Uint8Array): Buffer {
  const record = Buffer.alloc(data.length + 16);
  record.writeBigUInt64LE(BigInt(data.length), 0);
  record.writeUInt32LE(maskedCrc32c(record.subarray(0, 8)), 8);
  record.set(data, 12);
  record.writeUInt32LE(maskedCrc32c(data), 12 + data.length);
  return record;
}

/**
 * As TensorFlow stores it: rotated and shifted, so that a checksum of data that holds checksums stays a good
 * one.
 */
function maskedCrc32c(bytes: Uint8Array): number {
  const crc = crc32c(bytes);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}
