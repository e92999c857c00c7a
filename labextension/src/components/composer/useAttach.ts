import * as React from 'react';

import type { IComposerState } from '../../chat/composer';
import { lockWords } from '../locks';
import { attachFiles, attachPictures, type IAttachOptions } from './attach';
import type { IComposerProps } from './props';

/** Beside the active document; '' is the workspace's root. */
function uploadFolder(state: IComposerState): string {
  const path = state.automatic.find(item => item.path)?.path ?? '';
  return path.slice(0, Math.max(0, path.lastIndexOf('/')));
}

export interface IAttach {
  files(list: readonly File[]): void;
  pictures(list: readonly File[]): void;
}

/** Functions that stay the same: drop targets hold on to them. */
export function useAttach(props: IComposerProps): IAttach {
  const { trans, model, chat, files } = props;
  const options = React.useRef<IAttachOptions>();
  options.current = {
    trans,
    model,
    files,
    folder: uploadFolder(model.getState()),
    locks: {
      images: lockWords(trans, chat.status, 'images'),
      files: lockWords(trans, chat.status, 'attach_files')
    }
  };
  return React.useMemo(
    () => ({
      files: list =>
        void (options.current && attachFiles(list, options.current)),
      pictures: list =>
        void (options.current && attachPictures(list, options.current))
    }),
    []
  );
}
