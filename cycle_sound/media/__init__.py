"""Files to arrays and back: pictures, sounds, log-mels, films."""
