/** The composer on the store: what the panel mounts. */
import type { TranslationBundle } from '@jupyterlab/translation';

import type { SendWith } from '../../chat/keys';
import type { ChatStore } from '../../chat/store';
import { useBinding, type IComposerRoom } from './bind';
import { Composer } from './Composer';
import type { IWorkspaceFiles } from '../../chat/upload';

export interface IComposerRoomProps {
  trans: TranslationBundle;
  store: ChatStore;
  room: IComposerRoom;
  /** JupyterLab's contents manager: where uploads go */
  files: IWorkspaceFiles;
  /** the user's setting */
  sendWith?: SendWith;
}

export function ComposerRoom(props: IComposerRoomProps): JSX.Element {
  const { trans, store, room, files, sendWith } = props;
  const { chat, actions } = useBinding(trans, store, room);
  return (
    <Composer
      trans={trans}
      model={room.model}
      preview={room.preview}
      chat={chat}
      actions={actions}
      files={files}
      sendWith={sendWith ?? 'enter'}
    />
  );
}
