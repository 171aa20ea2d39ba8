import { zipFiles } from '../../data/read/zip.js';
import { refusal } from '../question.js';
import { MAX_FILE_BYTES } from '../read-text.js';

/** Password of TeleQnA.zip, which its authors publish. */
const PASSWORD = 'teleqnadataset';

/** The only text file of a zip archive, which may be encrypted. @throws TrainerError `BAD_INPUT` */
export async function unzipped(file: string, bytes: Buffer): Promise<Buffer> {
  try {
    const files = await zipFiles(bytes, PASSWORD);
    const texts = files.filter(({ name }) => /\.(txt|json|jsonl|csv)$/.test(name));
    const [text] = texts;
    if (text === undefined || texts.length > 1)
      throw refusal(file, `holds ${texts.length} text files; unpack it and name one of them`);
    if (text.size > MAX_FILE_BYTES)
      throw refusal(file, `unpacks to ${text.size} bytes; at most ${MAX_FILE_BYTES >> 20} MiB are read`);
    return await text.read();
  } catch (error) {
    if (!(error instanceof Error) || error.name === 'TrainerError') throw error;
    const what = /password/i.test(error.message)
      ? `does not open with TeleQnA's password (${PASSWORD})`
      : `is no complete zip archive (${error.message})`;
    throw refusal(file, what, error);
  }
}
