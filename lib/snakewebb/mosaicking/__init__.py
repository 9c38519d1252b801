"""Steps of imaging that lie between alignment and the mosaic."""
