import { upload, type IWorkspaceFiles, type Overwrite } from '../upload';

interface ISaved {
  path: string;
  chunk?: number;
  content: string;
}

/** A workspace in memory that answers as Jupyter's contents API does. */
function workspace(...names: string[]): {
  files: IWorkspaceFiles;
  saved: ISaved[];
  /** each name that it was asked for and does not have: a line in the console */
  missed: string[];
} {
  const there = new Set(names);
  const saved: ISaved[] = [];
  const missed: string[] = [];
  const files = {
    get: async (path: string, options: { content: boolean }) => {
      if (options.content) {
        const within = path === '' ? '' : `${path}/`;
        const listed = [...there].filter(
          name => name.startsWith(within) && !/(^|\/)\.|~$/.test(name)
        );
        return {
          path,
          content: listed.map(name => ({ name: name.slice(within.length) }))
        };
      }
      if (!there.has(path)) {
        missed.push(path);
        throw Object.assign(new Error('no'), { response: { status: 404 } });
      }
      return { path };
    },
    save: async (
      path: string,
      options: { chunk?: number; content?: string }
    ) => {
      saved.push({
        path,
        chunk: options.chunk,
        content: options.content ?? ''
      });
      there.add(path);
      return { path };
    }
  } as unknown as IWorkspaceFiles;
  return { files, saved, missed };
}

async function put(
  at: ReturnType<typeof workspace>,
  file: File,
  answer: Overwrite = 'cancel',
  folder = ''
): Promise<{ path: string | null; asked: string[]; shares: number[] }> {
  const asked: string[] = [];
  const shares: number[] = [];
  const path = await upload({
    files: at.files,
    folder,
    file,
    ask: async taken => {
      asked.push(taken);
      return answer;
    },
    progress: share => shares.push(share)
  });
  return { path, asked, shares };
}

describe('upload into the workspace', () => {
  it('puts a small file beside the active document in one piece', async () => {
    const at = workspace();
    const done = await put(at, new File(['hi'], 'a.csv'), 'cancel', 'data');
    expect(done).toEqual({ path: 'data/a.csv', asked: [], shares: [1] });
    expect(at.saved).toEqual([
      { path: 'data/a.csv', chunk: undefined, content: btoa('hi') }
    ]);
  });

  it('sends a large file in numbered pieces with progress', async () => {
    const at = workspace();
    const file = new File([new Uint8Array(2.5 * 1024 * 1024)], 'big.bin');
    const done = await put(at, file);
    expect(at.saved.map(piece => piece.chunk)).toEqual([1, 2, -1]);
    expect(done.shares[2]).toBe(1);
  });

  it('asks before it overwrites, and touches nothing when cancelled', async () => {
    const at = workspace('a.csv');
    const done = await put(at, new File(['x'], 'a.csv'));
    expect(done).toMatchObject({ path: null, asked: ['a.csv'] });
    expect(at.saved).toEqual([]);
  });

  it('keeps both under a free name', async () => {
    const at = workspace('a.csv', 'a (1).csv');
    const done = await put(at, new File(['x'], 'a.csv'), 'keep-both');
    expect(done.path).toBe('a (2).csv');
  });

  it('keeps both beside each other in a folder', async () => {
    const at = workspace('d.x/README', 'README (1)');
    const done = await put(at, new File(['x'], 'README'), 'keep-both', 'd.x');
    expect(done.path).toBe('d.x/README (1)');
  });

  it('asks for no name that the listing shows to be free', async () => {
    const at = workspace('a.csv', 'b.csv');
    await put(at, new File(['x'], 'c.csv'));
    await put(at, new File(['x'], 'a.csv'), 'keep-both');
    expect(at.missed).toEqual([]);
  });

  it('asks for a name that no listing shows, and for one that only differs in case', async () => {
    const at = workspace('old~', 'A.csv');
    expect(await put(at, new File(['x'], 'old~'))).toMatchObject({
      path: null,
      asked: ['old~']
    });
    await put(at, new File(['x'], 'a.csv'));
    expect(at.missed).toEqual(['a.csv']);
  });

  it('passes a refusal on', async () => {
    const at = workspace();
    at.files.save = async () => {
      throw new Error('disk full');
    };
    await expect(put(at, new File(['x'], 'a.csv'))).rejects.toThrow(
      'disk full'
    );
  });
});
