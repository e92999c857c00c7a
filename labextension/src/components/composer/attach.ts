/** Pictures and files from the clipboard, the desktop and the computer's disk. */
import { Dialog, showDialog } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';

import type { ComposerModel, IUpload } from '../../chat/composer';
import { fileItem, imageItem } from '../../chat/items';
import {
  base64,
  statusOf,
  upload,
  type IWorkspaceFiles,
  type Overwrite
} from '../../chat/upload';
import type { IImage } from '../../wire/types';

export interface IAttachOptions {
  trans: TranslationBundle;
  model: ComposerModel;
  files: IWorkspaceFiles;
  folder: string;
  /** why an admin locked it; null: not locked */
  locks: { images: string | null; files: string | null };
}

const IMAGE_MIMES: readonly string[] = [
  'image/png',
  'image/jpeg',
  'image/gif',
  'image/webp'
] satisfies IImage['mime'][];

/** The contract takes 8,000,000 characters of base64 for one picture. */
const MAX_IMAGE_BYTES = 6_000_000;

let serial = Date.now() * 100;

function nextId(): number {
  return serial++;
}

function isImage(file: File): file is File & { type: IImage['mime'] } {
  return IMAGE_MIMES.includes(file.type);
}

/** Brings what stands in its row into the composer; never rejects. */
type Attach = () => Promise<void>;

/**
 * Pictures are attached as they are, everything else goes into the workspace first.
 * All have their rows at once: a question waits for each of them.
 */
export async function attachFiles(
  list: readonly File[],
  options: IAttachOptions
): Promise<void> {
  await oneByOne(
    list.map(file =>
      isImage(file) ? attachImage(file, options) : uploadFile(file, options)
    )
  );
}

async function oneByOne(all: readonly Attach[]): Promise<void> {
  for (const attach of all) {
    await attach();
  }
}

/** Pictures of the clipboard, also those that cannot be sent; its text is the textarea's. */
export function picturesOf(data: DataTransfer): File[] {
  return Array.from(data.files).filter(file => file.type.startsWith('image/'));
}

/** Pasted pictures have no file to go back to: what cannot be sent is refused here. */
export async function attachPictures(
  list: readonly File[],
  options: IAttachOptions
): Promise<void> {
  const { trans, model } = options;
  const refused = trans.__('Only PNG, JPEG, GIF and WebP pictures can be sent');
  await oneByOne(
    list.map(file =>
      isImage(file)
        ? attachImage(file, options)
        : fail(model, file.name || trans.__('picture'), refused)
    )
  );
}

function attachImage(
  file: File & { type: IImage['mime'] },
  { trans, model, locks }: IAttachOptions
): Attach {
  const name = file.name || trans.__('picture');
  if (locks.images !== null) {
    return fail(model, name, locks.images);
  }
  if (file.size > MAX_IMAGE_BYTES) {
    const text = trans.__('This picture is too large (6 MB at most)');
    return fail(model, name, text);
  }
  const row = new Row(model, name);
  return async () => {
    try {
      if (!(await isDecodable(file))) {
        row.set({ error: trans.__('This picture is damaged, or is none') });
        return;
      }
      const image = { mime: file.type, data: await base64(file) };
      model.add([imageItem({ type: 'image', name, image }, String(nextId()))]);
      row.end();
    } catch (error) {
      row.set({ error: uploadWords(trans, error) });
    }
  };
}

/** What the browser cannot draw no model can see. */
async function isDecodable(file: File): Promise<boolean> {
  try {
    (await createImageBitmap(file)).close();
    return true;
  } catch {
    return false;
  }
}

/** Into the workspace, never over a file that is there without asking; then a pill. */
function uploadFile(
  file: File,
  { trans, model, files, folder, locks }: IAttachOptions
): Attach {
  if (locks.files !== null) {
    return fail(model, file.name, locks.files);
  }
  const row = new Row(model, file.name);
  return async () => {
    try {
      const path = await upload({
        files,
        folder,
        file,
        ask: taken => askOverwrite(trans, taken),
        progress: progress => row.set({ progress })
      });
      if (path !== null) {
        model.add([fileItem(path)]);
      }
      row.end();
    } catch (error) {
      row.set({ error: uploadWords(trans, error) });
    }
  };
}

/** Jupyter's contents API says what it refused in English: worded here by its status. */
function uploadWords(trans: TranslationBundle, error: unknown): string {
  if (error instanceof TypeError) {
    return trans.__('The server cannot be reached');
  }
  if (error instanceof DOMException) {
    return trans.__('The browser cannot read this file');
  }
  switch (statusOf(error)) {
    case 401:
    case 403:
      return trans.__('You may not write into this folder');
    case 404:
      return trans.__('The folder is not there any more');
    case 413:
      return trans.__('This file is larger than the server takes');
    default:
      return trans.__(
        'Could not upload: %1',
        error instanceof Error ? error.message : String(error)
      );
  }
}

/** What is shown of a file until it is attached. */
class Row {
  constructor(
    private readonly model: ComposerModel,
    name: string,
    error: string | null = null
  ) {
    model.setUploads(list => [
      ...list,
      { id: this.id, name, progress: 0, error }
    ]);
  }

  set(change: Partial<IUpload>): void {
    this.model.setUploads(list =>
      list.map(row => (row.id === this.id ? { ...row, ...change } : row))
    );
  }

  /** After the thing was added: a question that waits for it takes it along. */
  end(): void {
    this.model.setUploads(list => list.filter(row => row.id !== this.id));
  }

  private readonly id = nextId();
}

function fail(model: ComposerModel, name: string, error: string): Attach {
  new Row(model, name, error);
  return async () => undefined;
}

async function askOverwrite(
  trans: TranslationBundle,
  path: string
): Promise<Overwrite> {
  const result = await showDialog<void>({
    title: trans.__('%1 is there already', path),
    body: trans.__('What shall become of the file in the workspace?'),
    buttons: [
      Dialog.cancelButton({ label: trans.__('Cancel') }),
      Dialog.warnButton({
        label: trans.__('Replace it'),
        actions: ['overwrite']
      }),
      Dialog.okButton({ label: trans.__('Keep both'), actions: ['keep-both'] })
    ],
    defaultButton: 2
  });
  const action = result.button.actions[0];
  return action === 'overwrite' || action === 'keep-both' ? action : 'cancel';
}
