"""Why something is as it is, for machines: each reason that a FineTuneJob's status can show, once.

A reason is a word in CamelCase, as everywhere in Kubernetes: of `status.failure`, of the conditions, of an attempt,
of what the run changed by itself (`status.adjustments`), of `status.warnings`, and of what a pod waits for. A reason
that Kubernetes or a device plugin gives, and that is not here, is shown as it comes.
"""

from enum import StrEnum


class Reason(StrEnum):
    """A reason as it is on the wire, with its meaning in one line."""

    meaning: str

    def __new__(cls, value: str, meaning: str) -> "Reason":
        """Make a member that is its text, and carries its meaning beside it."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    # Failures: the manifest and its Secrets
    ARGUMENT_NOT_HONOURED = (
        "ArgumentNotHonoured",
        "The engine does not take this field of training.arguments, or not this value.",
    )
    ARGUMENT_OWNED = "ArgumentOwned", "A field of training.arguments follows from other fields of the spec."
    BAD_CONFIGURATION = "BadConfiguration", "The settings cannot be used as they are."
    BITS_AND_BYTES_NOT_INSTALLED = "BitsAndBytesNotInstalled", "Quantization needs bitsandbytes, which the image lacks."
    INVALID_SPEC = "InvalidSpec", "This operator cannot read the spec."
    KERAS_NOT_INSTALLED = "KerasNotInstalled", "The engine needs Keras, which the image lacks."
    SECRET_INCOMPLETE = "SecretIncomplete", "A Secret lacks a key, or a key is not as it must be."
    SECRET_UNREADABLE = "SecretUnreadable", "A key of a Secret cannot be read."
    SHARDING_NOT_POSSIBLE = "ShardingNotPossible", "The model cannot be trained by fsdp."
    SPEC_REFUSED = "SpecRefused", "The API server refuses an object that the operator makes of the spec."
    UNKNOWN_ARGUMENT = "UnknownArgument", "transformers.TrainingArguments has no such field."
    VOLUME_NOT_GIVEN = "VolumeNotGiven", "A run outside a cluster names a volume without a folder for it."

    # Failures: data
    BAD_CHAT = "BadChat", "A chat is not written as the chat template needs it."
    COLUMN_NOT_FOUND = "ColumnNotFound", "The data set lacks a column that is needed."
    COLUMN_TYPE = "ColumnType", "A column holds values of another type than is needed, or of several."
    COLUMNS_DIFFER = "ColumnsDiffer", "Files or splits that are read together have different columns."
    DATA_ERROR = "DataError", "The data cannot be used."
    DATASET_GATED = "DatasetGated", "The Hub lets only some accounts read the data set."
    DATASET_INCOMPLETE = "DatasetIncomplete", "The data set on the Hub lacks a file."
    DATASET_NAME_NEEDED = "DatasetNameNeeded", "The data set has several configurations, and dataset.name names none."
    DATASET_NAME_UNKNOWN = "DatasetNameUnknown", "The data set has no configuration of this name."
    DATASET_NEEDS_CODE = "DatasetNeedsCode", "The data set would have to run code of its own, which is never done."
    DATASET_NOT_ALLOWED = "DatasetNotAllowed", "The Hub refuses the data set to these credentials."
    DATASET_NOT_FOUND = "DatasetNotFound", "There is no data set at dataset.source."
    DATASET_UNREADABLE = "DatasetUnreadable", "A file of the data set cannot be read."
    DUPLICATE_COLUMN = "DuplicateColumn", "A file has a column of the same name twice."
    EMPTY_TEXT = "EmptyText", "A row has nothing to learn from."
    FIELDS_DO_NOT_FIT = "FieldsDoNotFit", "A line of a csv file has more or fewer fields than its header."
    LIST_AS_TEXT = "ListAsText", "Lists are written as text, as in csv files."
    NO_ROWS = "NoRows", "There are no rows to read."
    NOT_LABELLED = "NotLabelled", "A label is -1, which means that the row has none."
    NOT_UTF8 = "NotUtf8", "A text is not UTF-8."
    NOTHING_TO_LEARN = "NothingToLearn", "No row has an answer to learn."
    ONE_LABEL = "OneLabel", "All labels are the same, or there are none."
    QUOTES_BROKEN = "QuotesBroken", "The quotes of a csv file do not pair."
    ROW_FAILS = "RowFails", "The model fails on some rows."
    SPLIT_NOT_FOUND = "SplitNotFound", "The data set has no such split."
    TAGS_DO_NOT_FIT = "TagsDoNotFit", "A row has more or fewer tags than words."
    TEXT_TOO_LONG = "TextTooLong", "A text is longer than allowed, and preprocessing.truncation is false."
    TWO_FORMATS = "TwoFormats", "The data set's files are of two formats, and only one would be read."
    UNKNOWN_FILE_TYPE = "UnknownFileType", "A file is of no type that can be read."
    UNKNOWN_LABEL = "UnknownLabel", "A row has a label that the training rows do not have."
    VALUE_MISSING = "ValueMissing", "A row lacks a value that is needed."

    # Failures: the model
    ADAPTER_DOES_NOT_FIT = "AdapterDoesNotFit", "The adapter does not fit its base, or not this task."
    ADAPTER_NOT_SUPPORTED = "AdapterNotSupported", "The adapter is of another kind than LoRA."
    BASE_NOT_NAMED = "BaseNotNamed", "The adapter does not name the model that it belongs to."
    FILE_IS_LFS_POINTER = "FileIsLfsPointer", "A file of the model is a git LFS pointer, not the file itself."
    MODEL_ERROR = "ModelError", "The model cannot be used."
    MODEL_FAILS = "ModelFails", "The model fails on whatever it is given."
    MODEL_GATED = "ModelGated", "The Hub lets only some accounts read the model."
    MODEL_INCOMPLETE = "ModelIncomplete", "The model on the Hub lacks a file."
    MODEL_IS_QUANTIZED = "ModelIsQuantized", "The weights are quantized, and cannot be trained or quantized again."
    MODEL_NEEDS_CODE = "ModelNeedsCode", "The model would have to run code of its own, which is never done."
    MODEL_NOT_ALLOWED = "ModelNotAllowed", "The Hub refuses the model to these credentials."
    MODEL_NOT_FOUND = "ModelNotFound", "There is no model at model.source."
    MODEL_NOT_SUPPORTED = "ModelNotSupported", "The engine does not have this architecture, or not all of it."
    MODEL_OR_ADAPTER = "ModelOrAdapter", "A folder holds both a model and an adapter."
    MODEL_UNREADABLE = "ModelUnreadable", "A file of the model cannot be read."
    NO_CHAT_TEMPLATE = "NoChatTemplate", "The tokenizer has no chat template."
    NO_END_OF_TEXT = "NoEndOfText", "The tokenizer has no end-of-text token."
    NO_PADDING_TOKEN = "NoPaddingToken", "The tokenizer has no token to pad with."
    TASK_NOT_SUPPORTED = "TaskNotSupported", "The model or adapter is for another task."
    TEXTS_UNKNOWN = "TextsUnknown", "The tokenizer does not know the script of the texts."
    TOKENIZER_MISSING = "TokenizerMissing", "The model has no tokenizer that can be used."
    TOKENIZER_NOT_FAST = "TokenizerNotFast", "The tokenizer does not tell which word a token belongs to."
    WEIGHTS_DO_NOT_FIT = "WeightsDoNotFit", "The weights are not those of the model that config.json describes."
    WEIGHTS_MISSING = "WeightsMissing", "The model has no weights, or not all of them."

    # Failures: sources and the output
    ACCESS_DENIED = "AccessDenied", "The credentials do not allow it."
    BUCKET_NOT_FOUND = "BucketNotFound", "There is no such bucket."
    CACHE_FULL = "CacheFull", "No space is left where rows are kept once they are read."
    CHECKPOINT_BROKEN = "CheckpointBroken", "A checkpoint was not read as its manifest says."
    CHECKPOINT_NOT_HERE = "CheckpointNotHere", "One of several machines cannot read the checkpoint."
    CREDENTIALS_REFUSED = "CredentialsRefused", "The service does not accept the credentials."
    DATA_CHANGED = "DataChanged", "The output holds this run on other data."
    HUB_UNREACHABLE = "HubUnreachable", "The Hugging Face Hub cannot be reached."
    OUTPUT_ERROR = "OutputError", "The output cannot be written."
    OUTPUT_FAILED = "OutputFailed", "Writing to the output failed."
    OUTPUT_FULL = "OutputFull", "No space is left at the output."
    OUTPUT_IN_USE = "OutputInUse", "The output holds another run."
    OUTPUT_NOT_FOUND = "OutputNotFound", "There is no such place for the output."
    OUTPUT_NOT_WRITABLE = "OutputNotWritable", "The trainer may not write to the output."
    REVISION_NOT_FOUND = "RevisionNotFound", "The Hub has no such revision."
    SCRATCH_FULL = "ScratchFull", "No space is left on the machine's disk for a copy."
    STORAGE_FAILED = "StorageFailed", "A request to object storage failed."
    STORAGE_UNREACHABLE = "StorageUnreachable", "Object storage cannot be reached."

    # Failures: the run, its processes and devices
    CRASHED = "Crashed", "The trainer crashed (SIGSEGV)."
    CUDA_OUT_OF_MEMORY = "CudaOutOfMemory", "A GPU's memory is not enough. As an adjustment: batches became smaller."
    INTERNAL_ERROR = "InternalError", "A fault of the trainer or of a library."
    KILLED = "Killed", "The trainer was killed (SIGKILL)."
    LOSS_NOT_FINITE = "LossNotFinite", "The loss became NaN or infinite."
    NO_USABLE_GPU = "NoUsableGpu", "A GPU was asked for, and none can be used on the node."
    OTHER_PROCESSES = "OtherProcesses", "A run goes on with another number of processes, or cannot."
    OUT_OF_MEMORY = "OutOfMemory", "The machine's memory is not enough."
    PEER_LOST = "PeerLost", "Another process of the run was lost."
    PEERS_UNREACHABLE = "PeersUnreachable", "The pods of the run cannot reach each other."
    PROCESS_DIED = "ProcessDied", "A training process ended with an error and gave no reason."
    PROCESS_KILLED = "ProcessKilled", "A training process was killed."
    STOPPED = "Stopped", "The pod was stopped from outside."
    TRAINER_ERROR = "TrainerError", "The trainer ended with an error of its own."

    # Failures and waiting: Kubernetes
    BACKOFF_LIMIT_EXCEEDED = "BackoffLimitExceeded", "More attempts failed than runPolicy.backoffLimit allows."
    CONTAINER_CANNOT_RUN = "ContainerCannotRun", "The container cannot start."
    CONTAINER_CREATING = "ContainerCreating", "The container is being created."
    CREATE_CONTAINER_CONFIG_ERROR = "CreateContainerConfigError", "The container cannot be configured."
    CREATE_CONTAINER_ERROR = "CreateContainerError", "The container cannot be created."
    CREATE_FORBIDDEN = "CreateForbidden", "The API server does not let the operator make an object yet."
    DEADLINE_EXCEEDED = "DeadlineExceeded", "The job ran longer than runPolicy.activeDeadlineSeconds."
    DISRUPTED = "Disrupted", "Kubernetes ended the pod, as for a preemption or a drained node."
    ERR_IMAGE_NEVER_PULL = "ErrImageNeverPull", "The image is not on the node."
    ERR_IMAGE_PULL = "ErrImagePull", "The image cannot be pulled."
    EVICTED = "Evicted", "The node evicted the pod."
    FAILED_ATTACH_VOLUME = "FailedAttachVolume", "A volume cannot be attached."
    FAILED_CREATE = "FailedCreate", "The pod cannot be created, as when a quota is used up."
    FAILED_MOUNT = "FailedMount", "A volume cannot be mounted."
    IMAGE_PULL_BACK_OFF = "ImagePullBackOff", "The image cannot be pulled, and is tried again."
    INVALID_IMAGE_NAME = "InvalidImageName", "The image's name is not valid."
    JOB_DELETED = "JobDeleted", "Somebody deleted the Job; a new one comes."
    NAME_CONFLICT = "NameConflict", "An object that another made has the name of one that the job needs."
    OOM_KILLED = "OOMKilled", "The container went over its memory limit."
    POD_FAILED = "PodFailed", "The pod failed, and Kubernetes gives no other reason."
    POD_GONE = "PodGone", "The pod of an attempt was deleted before its end was seen."
    PRE_RUNNING_DEADLINE_EXCEEDED = (
        "PreRunningDeadlineExceeded",
        "No pod ran within runPolicy.preRunningDeadlineSeconds.",
    )
    RUN_CONTAINER_ERROR = "RunContainerError", "The container cannot be started."
    SCHEDULING_GATED = "SchedulingGated", "The pod is held back by a scheduling gate."
    UNKNOWN = "Unknown", "Kubernetes gives no reason."
    UNSCHEDULABLE = "Unschedulable", "No node can take the pod."
    WARNING = "Warning", "Kubernetes warns, and gives no other reason."

    # Warnings: what is probably not meant, and is done all the same
    CLASSES_ALIKE = "ClassesAlike", "Names of classes differ only in case, spaces or invisible characters."
    CLASSES_WITHOUT_ROWS = "ClassesWithoutRows", "No training row has a label of some classes."
    COLUMNS_NOT_READ = "ColumnsNotRead", "Columns of another format of chats or prompts are not read."
    EMPTY_ANSWERS = "EmptyAnswers", "The assistant says nothing in some turns."
    EMPTY_FILE = "EmptyFile", "A file of the data set has no rows."
    EMPTY_ROWS = "EmptyRows", "Rows without words are left out."
    EMPTY_TEXTS = "EmptyTexts", "Some rows have an empty text."
    END_WITHIN_TEXT = "EndWithinText", "Texts hold the model's end-of-text token."
    FILE_IN_TWO_SPLITS = "FileInTwoSplits", "Training and evaluation read the same file."
    FILES_NOT_READ = "FilesNotRead", "Files of the data set belong to no split, and are not read."
    LANGUAGES_NOT_GIVEN = "LanguagesNotGiven", "The tokenizer marks languages, and takes its defaults."
    MANY_CLASSES = "ManyClasses", "There are about as many classes as rows."
    MEMORY_SHORT = "MemoryShort", "The training probably needs more memory than there is."
    MERGED_MODEL_DIFFERS = (
        "MergedModelDiffers",
        "The exported model was merged into other weights than it was trained on.",
    )
    NAME_IGNORED = "NameIgnored", "dataset.name has no effect on this data set."
    NOT_IN_TEMPLATE = "NotInTemplate", "The chat template leaves out some of what chats hold."
    NOTHING_WEIGHTED = "NothingWeighted", "Rows are left out whose turns all have a weight of 0."
    NULLS_LEFT_OUT = "NullsLeftOut", "Nulls in tools or calls of tools are left out."
    NUMBERS_AND_WORDS = "NumbersAndWords", "Labels are numbers in some rows and words in the rest."
    ONE_CLASS = "OneClass", "All training rows are of one class."
    ONE_CLASS_EVALUATED = "OneClassEvaluated", "All evaluation rows are of one class."
    ONE_NUMBER = "OneNumber", "The number to learn is the same in all rows."
    OUTPUT_SHORT = "OutputShort", "The output probably has too little space for checkpoints and model."
    PROMPTS_TOO_LONG = "PromptsTooLong", "Rows are left out whose prompt fills the whole sequence."
    QUOTES_READ_LITERALLY = (
        "QuotesReadLiterally",
        "A csv file is read without quoting, and its quotes belong to the texts.",
    )
    REPORT_NOT_UNDERSTOOD = "ReportNotUnderstood", "The operator cannot read what the trainer reports."
    REVISION_IGNORED = "RevisionIgnored", "dataset.revision has no effect on this data set."
    SORTED_BY_LABEL = "SortedByLabel", "The rows are sorted by their label."
    STEPS_BEYOND_END = "StepsBeyondEnd", "An interval is longer than the run."
    SYSTEM_TWICE = "SystemTwice", "A chat has a system turn, and a column has another one."
    TAGS_NOT_OF_ENTITIES = "TagsNotOfEntities", "Tags are of no scheme of entities, and metrics are those of words."
    TEXTS_OFTEN_UNKNOWN = "TextsOftenUnknown", "The tokenizer does not know many words of the texts."
    TOKENS_WITHOUT_EMBEDDING = (
        "TokensWithoutEmbedding",
        "The tokenizer or config.json has tokens that the model has no embedding for.",
    )
    TURNS_HAVE_NO_END = "TurnsHaveNoEnd", "The chat template ends no turn, so that the model does not learn to stop."
    WARMUP_LONGER_THAN_RUN = "WarmupLongerThanRun", "The learning rate never comes to its highest value."
    WHOLE_NUMBERS = "WholeNumbers", "Labels are floats without fractions: classes or numbers."

    # Adjustments: what the run changed by itself, besides CudaOutOfMemory and OtherProcesses
    EARLY_STOPPING = "EarlyStopping", "evaluation.patience ended the training early."

    # Conditions and attempts: where the job stands
    COMPLETED = "Completed", "The attempt trained to its end."
    CREATING = "Creating", "The Job is being created."
    EVALUATING = "Evaluating", "The model is being evaluated."
    EXPORTING = "Exporting", "The model is being exported."
    FAILED = "Failed", "The job failed."
    FAILING = "Failing", "The attempt failed in a way that is not retried."
    FINISHED = "Finished", "The trainer has finished."
    FINISHING = "Finishing", "The trainer has finished; the Job is not complete yet."
    PENDING = "Pending", "The job waits for its pods."
    PREFLIGHT = "Preflight", "A small pod checks settings, model and data."
    PREFLIGHT_PASSED = "PreflightPassed", "Settings, model and data were checked; the Job is being created."
    PREPARING = "Preparing", "Model and data are being loaded."
    QUEUED = "Queued", "The job waits for quota."
    RESUMING = "Resuming", "A new attempt goes on from the newest checkpoint, and is not counted."
    RETRYING = "Retrying", "A new attempt follows one that failed, and is counted."
    RUNNING = "Running", "The job trains."
    SAVING = "Saving", "A checkpoint is being saved."
    STOPPING = "Stopping", "The job is suspended; the trainer saves a checkpoint and stops."
    SUCCEEDED = "Succeeded", "The job trained to its end."
    SUSPENDED = "Suspended", "spec.suspend is true."
    TRAINING = "Training", "The model is being trained."
    WAITING_FOR_ADMISSION = "WaitingForAdmission", "Something else than spec.suspend holds the Job suspended."
    WAITING_FOR_POD = "WaitingForPod", "The Job has no pod yet."
    WAITING_FOR_QUOTA = "WaitingForQuota", "The Job waits in its queue."
