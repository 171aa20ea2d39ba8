import { refusal } from '../question.js';
import { MAX_FILE_BYTES } from '../read-text.js';

/** Of TeleQnA.zip, as its authors publish it. */
const PASSWORD = 'teleqnadataset';

/** The only text file of a zip archive, which may be encrypted. @throws TrainerError `BAD_INPUT` */
export async function unzipped(file: string, bytes: Buffer): Promise<Buffer> {
  const { configure, Uint8ArrayReader, Uint8ArrayWriter, ZipReader } = await import('@zip.js/zip.js');
  configure({ useWebWorkers: false });
  const zip = new ZipReader(new Uint8ArrayReader(bytes), { password: PASSWORD });
  try {
    const entries = (await zip.getEntries()).filter((entry) => !entry.directory);
    const texts = entries.filter(({ filename }) => /\.(txt|json|jsonl|csv)$/.test(filename));
    if (texts.length !== 1)
      throw refusal(file, `holds ${texts.length} text files; unpack it and name one of them`);
    const [entry] = texts;
    if (entry.uncompressedSize > MAX_FILE_BYTES)
      throw refusal(
        file,
        `unpacks to ${entry.uncompressedSize} bytes; at most ${MAX_FILE_BYTES >> 20} MiB are read`,
      );
    return Buffer.from(await entry.getData(new Uint8ArrayWriter()));
  } catch (error) {
    if (!(error instanceof Error) || error.name === 'TrainerError') throw error;
    const what = /password/i.test(error.message)
      ? `does not open with TeleQnA's password (${PASSWORD})`
      : `is no complete zip archive (${error.message})`;
    throw refusal(file, what, error);
  } finally {
    await zip.close();
  }
}
