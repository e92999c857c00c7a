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
  there: Set<string>;
} {
  const there = new Set(names);
  const saved: ISaved[] = [];
  const files = {
    get: async (path: string) => {
      const within = path === '' ? '' : `${path}/`;
      const listed = [...there].filter(
        name => name.startsWith(within) && !/(^|\/)\.|~$/.test(name)
      );
      return {
        path,
        content: listed.map(name => ({ name: name.slice(within.length) }))
      };
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
    },
    rename: async (path: string, wanted: string) => {
      const folded = [...there].map(name => name.toLowerCase());
      if (folded.includes(wanted.toLowerCase())) {
        throw Object.assign(new Error('there'), { response: { status: 409 } });
      }
      there.delete(path);
      there.add(wanted);
      return { path: wanted };
    },
    delete: async (path: string) => {
      there.delete(path);
    }
  } as unknown as IWorkspaceFiles;
  return { files, saved, there };
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
    expect(at.saved).toMatchObject([{ chunk: undefined, content: btoa('hi') }]);
    expect([...at.there]).toEqual(['data/a.csv']);
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

  it('asks before it overwrites a file that no listing shows, whatever hides it', async () => {
    const at = workspace('old~');
    const done = await put(at, new File(['x'], 'old~'));
    expect(done).toMatchObject({ path: null, asked: ['old~'] });
    expect([...at.there]).toEqual(['old~']);
  });

  it('asks where the file system takes two spellings for one name', async () => {
    const at = workspace('A.csv');
    const done = await put(at, new File(['x'], 'a.csv'), 'keep-both');
    expect(done).toMatchObject({ path: 'a (1).csv', asked: ['a.csv'] });
  });

  it('overwrites a hidden file when the user says so', async () => {
    const at = workspace('old~');
    const done = await put(at, new File(['x'], 'old~'), 'overwrite');
    expect(done.path).toBe('old~');
    expect(at.saved[at.saved.length - 1]).toMatchObject({ path: 'old~' });
    expect([...at.there]).toEqual(['old~']);
  });

  it('leaves nothing behind under any name when it breaks', async () => {
    const at = workspace();
    const save = at.files.save;
    at.files.save = async (path: string, options?: { chunk?: number }) => {
      if (options?.chunk === 2) {
        throw new Error('disk full');
      }
      return save(path, options);
    };
    const file = new File([new Uint8Array(2.5 * 1024 * 1024)], 'big.bin');
    await expect(put(at, file)).rejects.toThrow('disk full');
    expect([...at.there]).toEqual([]);
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
