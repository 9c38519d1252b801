"""Files: FITS, ASDF, JSON, ECSV; headers, planes, data quality, provenance."""
