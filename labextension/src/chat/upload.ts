/**
 * From the computer into the workspace, through Jupyter's contents API: in pieces,
 * with progress, and never over a file that is there without asking.
 *
 * A listing does not show every file (`hide_globs`, hidden files, a file system that
 * takes two spellings for one name), and each question for a name that is free is an
 * error in the browser's console. So a file arrives under a name of its own and is then
 * renamed: a rename is refused where the name is taken, and a broken upload leaves no
 * half file behind under the name that was meant.
 */
import type { Contents } from '@jupyterlab/services';

import { requestKey } from '../api';

/** The part of the contents API that is used. */
export type IWorkspaceFiles = Pick<
  Contents.IManager,
  'get' | 'save' | 'rename' | 'delete'
>;

export type Overwrite = 'overwrite' | 'keep-both' | 'cancel';

export interface IUploadOptions {
  files: IWorkspaceFiles;
  /** relative to the server's root; '' is the root */
  folder: string;
  file: File;
  /** asked when the name is taken */
  ask(path: string): Promise<Overwrite>;
  /** 0 to 1 */
  progress(share: number): void;
}

/** Bytes per request: what JupyterLab's own file browser sends. */
const PIECE = 1024 * 1024;

/** The path it got, or null when the user cancelled. */
export async function upload(options: IUploadOptions): Promise<string | null> {
  const { files, folder, file } = options;
  const path = join(folder, file.name);
  const listing = await files.get(folder, { content: true });
  const listed = new Set(
    (listing.content as Contents.IModel[]).map(each => each.name)
  );
  let answer = listed.has(file.name) ? await options.ask(path) : undefined;
  let arrived: string | undefined;
  try {
    for (let number = 0; ; number++) {
      if (answer === 'cancel') {
        return null;
      }
      if (answer === 'overwrite') {
        await write(options, path);
        return path;
      }
      const name = numbered(file.name, number);
      if (listed.has(name)) {
        continue;
      }
      if (arrived === undefined) {
        // Jupyter lists no name with a tilde at its end; a listing in which a listed
        // file is renamed fails as a whole, and the file browser says "Directory not found".
        arrived = join(folder, `upload-${requestKey().slice(0, 8)}~`);
        await write(options, arrived);
      }
      const wanted = join(folder, name);
      if (await rename(files, arrived, wanted)) {
        arrived = undefined;
        return wanted;
      }
      answer ??= await options.ask(path);
    }
  } finally {
    if (arrived !== undefined) {
      // Nobody waits for it, and what broke is on its way to the user already.
      void files.delete(arrived).catch(() => undefined);
    }
  }
}

async function write(options: IUploadOptions, path: string): Promise<void> {
  const { files, file } = options;
  const pieces = Math.max(1, Math.ceil(file.size / PIECE));
  for (let index = 0; index < pieces; index++) {
    const piece = file.slice(index * PIECE, (index + 1) * PIECE);
    const content = await base64(piece);
    await files.save(path, {
      type: 'file',
      format: 'base64',
      name: path.split('/').pop(),
      content,
      // Jupyter's protocol: numbered from 1, the last piece is -1; a small file has none.
      ...(pieces > 1 ? { chunk: index === pieces - 1 ? -1 : index + 1 } : {})
    });
    options.progress((index + 1) / pieces);
  }
}

/** Whether the name was free. */
async function rename(
  files: IWorkspaceFiles,
  path: string,
  wanted: string
): Promise<boolean> {
  try {
    await files.rename(path, wanted);
    return true;
  } catch (error) {
    if (statusOf(error) === 409) {
      return false;
    }
    throw error;
  }
}

function join(folder: string, name: string): string {
  return folder === '' ? name : `${folder}/${name}`;
}

/** Of a refusal of the contents API; undefined: it was none. */
export function statusOf(error: unknown): number | undefined {
  return (error as { response?: { status?: number } }).response?.status;
}

/** `a.csv`, `a (1).csv`, `a (2).csv`, ... */
function numbered(name: string, number: number): string {
  const dot = name.lastIndexOf('.');
  const cut = dot > 0 ? dot : name.length;
  return number === 0
    ? name
    : `${name.slice(0, cut)} (${number})${name.slice(cut)}`;
}

/** Base64 without a data: prefix. */
export function base64(blob: Blob): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => {
      const url = String(reader.result);
      resolve(url.slice(url.indexOf(',') + 1));
    };
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
}
