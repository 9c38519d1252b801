"""JWST's image metadata that have FITS keywords, in the schema's order.

Made by `python -m snakewebb.io.make_schema_table`: change nothing here.
"""

SECTIONS = """
asn Association information
program Program information
observation Observation identifiers
visit Visit information
target Target information
instrument Instrument configuration information
exposure Exposure parameters
subarray Subarray parameters
dither Dither information
ephemeris JWST ephemeris information
aperture Aperture information
velocity_aberration Velocity aberration correction information
time Time information
nircam_focus NIRCam Focus Adjust Mechanism parameters
nirspec_wfsc NIRSpec WFS&C engineering keywords information
guidestar Guide star information
ref_file Reference file information
cal_step Calibration step information
resample Resample Parameters
rscd RSCD parameters
soss_extract1d NIRISS SOSS Extract1D Parameters
background Background information
photometry Photometry information
coordinates Information about the coordinates in the file
pointing Spacecraft pointing information
wcsinfo WCS parameters
"""
"""What headers call the parts of ``meta``."""

TABLE = """
date PRIMARY DATE string first tabled UTC date file created
origin PRIMARY ORIGIN string first tabled Organization responsible for creating file
time_sys PRIMARY TIMESYS string first tabled principal time system for time-related keywords
time_unit PRIMARY TIMEUNIT string first - Default unit applicable to all time values
filename PRIMARY FILENAME string first tabled Name of the file
data_processing_software_version PRIMARY SDP_VER string first tabled Data Processing (DP) Software Version
prd_software_version PRIMARY PRD_VER string first tabled S&OC Project Reference Database (PRD) Version
oss_software_version PRIMARY OSS_VER string first tabled Observatory Scheduling Software (OSS) Version
guide_star_catalog_version PRIMARY GSC_VER string first tabled Guide Star Catalog (GSC) Version
calibration_software_version PRIMARY CAL_VER string first tabled Calibration Software Version
calibration_software_revision PRIMARY CAL_VCS string first tabled Calibration Software Repository Version
model_type PRIMARY DATAMODL string first tabled Type of data model
telescope PRIMARY TELESCOP string first tabled Telescope used to acquire the data
hga_move PRIMARY HGA_MOVE boolean first tabled High Gain Antenna moved during data collection
hga_start_time PRIMARY HGA_STRT string first tabled Start time of HGA motion
hga_stop_time PRIMARY HGA_STOP string first tabled Stop time of HGA motion
pwfseet PRIMARY PWFSEET number first tabled [d] Previous WFS exposure end time in MJD
nwfsest PRIMARY NWFSEST number first tabled [d] Next WFS exposure start time in MJD
compress PRIMARY COMPRESS boolean first - On-board data compression was used (T/F)
asn.pool_name PRIMARY ASNPOOL string first tabled Name of the ASN pool
asn.table_name PRIMARY ASNTABLE string first tabled Name of the ASN table
program.title PRIMARY TITLE string first tabled Proposal title
program.pi_name PRIMARY PI_NAME string first tabled Principal investigator name
program.category PRIMARY CATEGORY string first tabled Program category
program.sub_category PRIMARY SUBCAT string first tabled Program sub-category
program.science_category PRIMARY SCICAT string first tabled Science category assigned during TAC process
program.continuation_id PRIMARY CONT_ID integer first tabled Continuation of previous program
observation.date PRIMARY DATE-OBS string mindate tabled [yyyy-mm-dd] UTC date at start of exposure
observation.time PRIMARY TIME-OBS string mintime tabled [hh:mm:ss.sss] UTC time at start of exposure
observation.date_beg PRIMARY DATE-BEG string mindatetime tabled Date-time start of exposure
observation.date_end PRIMARY DATE-END string maxdatetime tabled Date-time end of exposure
observation.obs_id PRIMARY OBS_ID string first tabled Programmatic observation identifier
observation.visit_id PRIMARY VISIT_ID string first tabled Visit identifier
observation.program_number PRIMARY PROGRAM string first tabled Program number
observation.observation_number PRIMARY OBSERVTN string first tabled Observation number
observation.visit_number PRIMARY VISIT string first tabled Visit number
observation.visit_group PRIMARY VISITGRP string first tabled Visit group identifier
observation.sequence_id PRIMARY SEQ_ID string first tabled Parallel sequence identifier
observation.activity_id PRIMARY ACT_ID string first tabled Activity identifier
observation.exposure_number PRIMARY EXPOSURE string first tabled Exposure request number
observation.bkgdtarg PRIMARY BKGDTARG boolean first tabled Background target
observation.template PRIMARY TEMPLATE string first tabled Observation template used
observation.observation_label PRIMARY OBSLABEL string first tabled Proposer label for the observation
observation.observation_folder PRIMARY OBSFOLDR string first - Name of the APT observation folder
visit.engineering_quality PRIMARY ENG_QUAL string first tabled Engineering DB quality indicator
visit.engdb_pointing_quality PRIMARY ENGQLPTG string first tabled Quality of pointing information from EngDB
visit.type PRIMARY VISITYPE string first tabled Visit type
visit.start_time PRIMARY VSTSTART string first tabled UTC visit start time
visit.status PRIMARY VISITSTA string first tabled Status of a visit
visit.total_exposures PRIMARY NEXPOSUR integer first tabled Total number of planned exposures in visit
visit.internal_target PRIMARY INTARGET boolean first tabled At least one exposure in visit is internal
visit.too_visit PRIMARY TARGOOPP boolean first tabled Visit scheduled as target of opportunity
visit.tsovisit PRIMARY TSOVISIT boolean first tabled Time Series Observation visit indicator
visit.exp_only PRIMARY EXP_ONLY boolean first tabled Special commanding without SI configuration
visit.crowded_field PRIMARY CROWDFLD boolean first - Are the FGSes in a crowded field?
target.proposer_name PRIMARY TARGPROP string first tabled Proposer's name for the target
target.catalog_name PRIMARY TARGNAME string first tabled Standard astronomical catalog name for target
target.type PRIMARY TARGTYPE string first tabled Type of target (fixed, moving, generic)
target.category PRIMARY TARGCAT string first - Target category from APT
target.description PRIMARY TARGDESC string first - Target description from APT
target.ra PRIMARY TARG_RA number first tabled [deg] Target RA at mid time of exposure
target.dec PRIMARY TARG_DEC number first tabled [deg] Target Dec at mid time of exposure
target.ra_uncertainty PRIMARY TARGURA number first tabled [arcsec] Target RA uncertainty
target.dec_uncertainty PRIMARY TARGUDEC number first tabled [arcsec] Target Dec uncertainty
target.proper_motion_ra PRIMARY MU_RA number first tabled [arcsec/yr] Target proper motion in RA
target.proper_motion_dec PRIMARY MU_DEC number first tabled [arcsec/yr] Target proper motion in Dec
target.proper_motion_epoch PRIMARY MU_EPOCH string first tabled Target proper motion epoch in UT
target.proposer_ra PRIMARY PROP_RA number first tabled [deg] Proposer's target RA
target.proposer_dec PRIMARY PROP_DEC number first tabled [deg] Proposer's target Dec
target.source_type_apt PRIMARY SRCTYAPT string first tabled Source type from APT (point/extended)
target.source_type SCI SRCTYPE string first - Source type used for calibration
instrument.name PRIMARY INSTRUME string first tabled Instrument used to acquire the data
instrument.detector PRIMARY DETECTOR string multi tabled Name of detector used to acquire the data
instrument.module PRIMARY MODULE string multi tabled NIRCam module: A, B or MULTIPLE
instrument.channel PRIMARY CHANNEL string first tabled Instrument channel
instrument.filter PRIMARY FILTER string multi tabled Name of the filter element used
instrument.filter_wheel_offset PRIMARY FWPOSOFF number max tabled Filter wheel position offset (actual minus commanded)
instrument.filter_wheel_tolerance PRIMARY FWPOSTOL string wheeltol tabled Filter wheel position tolerance
instrument.pupil PRIMARY PUPIL string first tabled Name of the pupil element used
instrument.pupil_imaging_lens PRIMARY PILIN boolean first tabled Pupil imaging lens in the optical path: T/F
instrument.pupil_wheel_offset PRIMARY PWPOSOFF number max tabled Pupil wheel position offset (actual minus commanded)
instrument.pupil_wheel_tolerance PRIMARY PWPOSTOL string wheeltol tabled Pupil wheel position tolerance
instrument.grating PRIMARY GRATING string multi tabled Name of the grating element used
instrument.band PRIMARY BAND string multi tabled MRS wavelength band
instrument.fixed_slit PRIMARY FXD_SLIT string first tabled Name of fixed slit aperture used
instrument.focus_position PRIMARY FOCUSPOS number first tabled Focus position
instrument.pre_image_id PRIMARY PREIMAGE string first tabled Pre-image ID from PPS DB
instrument.miri_fpe_side PRIMARY FPE_SIDE string first - Active side for FPE (A or B)
instrument.miri_ice_side PRIMARY ICE_SIDE string first - Active side for ICE (A or B)
instrument.ccc_state PRIMARY CCCSTATE string first tabled Contamination control cover state
instrument.coronagraph PRIMARY CORONMSK string first tabled coronagraph mask used
instrument.msa_state PRIMARY MSASTATE string first tabled State of the MSA
instrument.msa_metadata_file PRIMARY MSAMETFL string first tabled MSA metadata file name
instrument.msa_metadata_id PRIMARY MSAMETID integer first tabled MSA metadata ID
instrument.msa_configuration_id PRIMARY MSACONID integer first tabled MSA configuration ID
instrument.lamp_state PRIMARY LAMP string first tabled Internal lamp state
instrument.lamp_mode PRIMARY OPMODE string first tabled Lamp operating mode
instrument.gwa_xtilt PRIMARY GWA_XTIL number first tabled Grating wheel tilt along instrmnt model Y axis
instrument.gwa_ytilt PRIMARY GWA_YTIL number first tabled Grating wheel tilt along instrmnt model X axis
instrument.gwa_xp_v PRIMARY GWA_XP_V number first tabled GWA X-position/tilt sensor calibrated
instrument.gwa_yp_v PRIMARY GWA_YP_V number first tabled GWA Y-position/tilt sensor calibrated
instrument.gwa_pxav PRIMARY GWA_PXAV number first tabled GWA REC avg X-pos/tilt sensor calibrated
instrument.gwa_pyav PRIMARY GWA_PYAV number first tabled GWA REC avg Y-pos/tilt sensor calibrated
instrument.gwa_tilt PRIMARY GWA_TILT number first tabled [K] GWA TILT (avg/calib) temperature
instrument.filter_position PRIMARY FWCPOS number first tabled NIRISS filter wheel position
instrument.pupil_position PRIMARY PWCPOS number first tabled NIRISS pupil wheel position
exposure.count PRIMARY EXPCOUNT integer first tabled Running count of exposures in visit
exposure.prime_parallel PRIMARY EXPRIPAR string first tabled Prime or parallel exposure
exposure.type PRIMARY EXP_TYPE string first tabled Type of data in the exposure
exposure.start_time PRIMARY EXPSTART number min tabled [d] exposure start time in MJD
exposure.start_time_mjd SCI MJD-BEG number min tabled [d] exposure start time in MJD
exposure.mid_time PRIMARY EXPMID number mean tabled [d] exposure mid time in MJD
exposure.mid_time_mjd SCI MJD-AVG number mean tabled [d] exposure mid-point in MJD
exposure.end_time PRIMARY EXPEND number max tabled [d] exposure end time in MJD
exposure.end_time_mjd SCI MJD-END number max tabled [d] exposure end time in MJD
exposure.start_time_tdb SCI TDB-BEG number min tabled [d] TDB time of exposure start in MJD
exposure.mid_time_tdb SCI TDB-MID number mean tabled [d] TDB time of exposure mid-point in MJD
exposure.end_time_tdb SCI TDB-END number max tabled [d] TDB time of exposure end in MJD
exposure.start_time_eng PRIMARY EXPSTENG string first - UTC exposure start time from engineering data
exposure.osf_file PRIMARY OSF_FILE string first - Observatory Status File name covering this exposure
exposure.readpatt PRIMARY READPATT string first tabled Readout pattern
exposure.hybrid_full_frame PRIMARY HYBRIDFF boolean first tabled HFF/IRS2TA readout mode used
exposure.segment_number PRIMARY EXSEGNUM integer first tabled Sequential segment number
exposure.segment_total PRIMARY EXSEGTOT integer first tabled Total number of segments
exposure.noutputs PRIMARY NOUTPUTS integer first tabled Number of detector outputs used
exposure.nints PRIMARY NINTS integer first tabled Number of integrations in exposure
exposure.integration_start PRIMARY INTSTART integer min tabled Starting integration number in this segment
exposure.integration_end PRIMARY INTEND integer max tabled Ending integration number in this segment
exposure.ngroups PRIMARY NGROUPS integer first tabled Number of groups in integration
exposure.nframes PRIMARY NFRAMES integer first tabled Number of frames per group
exposure.miri_fsw_ngroups PRIMARY MIRNGRPS integer first tabled MIRI flight system number of groups
exposure.miri_fsw_nframes PRIMARY MIRNFRMS integer first tabled MIRI flight system number of frames
exposure.detmode PRIMARY DETMODE string first - Detector mode indicator
exposure.cmd_tsel PRIMARY CMD_TSEL string first - Test pattern selection
exposure.frame_divisor PRIMARY FRMDIVSR integer first tabled Divisor applied to frame-averaged groups
exposure.groupgap PRIMARY GROUPGAP integer first tabled Number of frames dropped between groups
exposure.drop_frames1 PRIMARY DRPFRMS1 integer first tabled Number of frames dropped prior to 1st integration
exposure.drop_frames3 PRIMARY DRPFRMS3 integer first tabled Number of frames dropped between integrations
exposure.nsamples PRIMARY NSAMPLES integer first tabled Number of A/D samples per pixel
exposure.sample_time PRIMARY TSAMPLE number first tabled [us] Time between samples
exposure.frame_time PRIMARY TFRAME number first tabled [s] Time between frames
exposure.group_time PRIMARY TGROUP number first tabled [s] Time between groups
exposure.integration_time PRIMARY EFFINTTM number first tabled [s] Effective integration time
exposure.exposure_time PRIMARY EFFEXPTM number sum tabled [s] Effective exposure time
exposure.effective_exposure_time SCI XPOSURE number sum tabled [s] Effective exposure time
exposure.measurement_time PRIMARY TMEASURE number sum tabled [s] Measurement time
exposure.duration PRIMARY DURATION number sum tabled [s] Total duration of exposure
exposure.elapsed_exposure_time SCI TELAPSE number sum tabled [s] Total elapsed exposure time
exposure.nresets_at_start PRIMARY NRSTSTRT integer first tabled Number of reset frames at start of exposure
exposure.nresets_between_ints PRIMARY NRESETS integer first tabled Number of reset frames between integrations
exposure.zero_frame PRIMARY ZEROFRAM boolean first tabled Zero frame was downlinked separately
exposure.data_problem PRIMARY DATAPROB boolean first tabled Science telemetry indicated a problem
exposure.sca_num PRIMARY SCA_NUM integer first tabled Sensor Chip Assembly number
exposure.datamode PRIMARY DATAMODE integer first tabled post-processing method used in FPAP
exposure.nrs_normal PRIMARY NRS_NORM integer first tabled Number of normal pixels in IRS2 readout
exposure.nrs_reference PRIMARY NRS_REF integer first tabled Number of reference pixels in IRS2 readout
exposure.clock_adjust_rate PRIMARY SCTARATE number first tabled [ms/s] Spacecraft Clock Time Adjust RATE
exposure.gain_factor PRIMARY GAINFACT number first tabled Gain scale factor
exposure.imprint PRIMARY IS_IMPRT boolean first tabled NIRSpec imprint exposure
exposure.psf_reference PRIMARY IS_PSF boolean first tabled exposure is PSF reference
exposure.self_reference_survey PRIMARY SELFREF boolean first tabled self-referencing PSF
exposure.primary_cosmic_rays PRIMARY PRIMECRS number first - Cosmic Ray rate per thousand pixels per second
exposure.extended_emission_events PRIMARY EXTNCRS number first - Snowballs/showers per million pixels per second
subarray.name PRIMARY SUBARRAY string first tabled Subarray used
subarray.subarray_short PRIMARY SUB_SHRT string first tabled MIRI MRS short wavelength detector subarray
subarray.subarray_long PRIMARY SUB_LONG string first tabled MIRI MRS long wavelength detectory subarray
subarray.xstart PRIMARY SUBSTRT1 integer first tabled Starting pixel in axis 1 direction
subarray.ystart PRIMARY SUBSTRT2 integer first tabled Starting pixel in axis 2 direction
subarray.xsize PRIMARY SUBSIZE1 integer first tabled Number of pixels in axis 1 direction
subarray.ysize PRIMARY SUBSIZE2 integer first tabled Number of pixels in axis 2 direction
subarray.fastaxis PRIMARY FASTAXIS integer first tabled Fast readout axis direction
subarray.slowaxis PRIMARY SLOWAXIS integer first tabled Slow readout axis direction
subarray.detxcor PRIMARY DETXCOR integer first tabled Starting pixel in detector x-axis direction
subarray.detycor PRIMARY DETYCOR integer first tabled Starting pixel in detector y-axis direction
subarray.detxsiz PRIMARY DETXSIZ integer first tabled Number of pixels in detector x-axis direction
subarray.detysiz PRIMARY DETYSIZ integer first tabled Number of pixels in detector y-axis direction
subarray.multistripe_reads1 PRIMARY MSTR_RD1 integer first tabled Num. substripe rows read starting at SUBSTRT1
subarray.multistripe_skips1 PRIMARY MSTR_SK1 integer first tabled Num. rows to skip after reading MSTR_RD1 rows
subarray.multistripe_reads2 PRIMARY MSTR_RD2 integer first tabled Num. rows read in subsequent substripes
subarray.multistripe_skips2 PRIMARY MSTR_SK2 integer first tabled Num. rows to skip between susequent substripes
subarray.repeat_stripe PRIMARY MSTR_RPT integer first tabled Repeat reading MSTR_RD2 rows at first position
subarray.interleave_reads1 PRIMARY MSTR_ILV integer first tabled Interleave MSTR_RD1 rows between substripes
subarray.superstripe_step PRIMARY SSTR_STP integer first tabled Rows to advance superstripe postn btwn intgrtns
subarray.num_superstripe PRIMARY SSTR_NST integer first tabled Num. superstripe positions in super-integration
dither.primary_type PRIMARY PATTTYPE string first tabled Primary dither pattern type
dither.primary_dither_type PRIMARY PRIDTYPE string first tabled Primary dither points and packing
dither.primary_points PRIMARY PRIDTPTS integer first tabled Number of points in primary dither pattern
dither.position_number PRIMARY PATT_NUM integer first tabled Position number within dither pattern
dither.pattern_start PRIMARY PATTSTRT integer first tabled Starting point in pattern
dither.total_points PRIMARY NUMDTHPT integer first tabled Total number of points in dither pattern
dither.total_cycling_points PRIMARY PATTNPTS integer first tabled Number of points in CYCLING pattern
dither.dither_points PRIMARY NRIMDTPT integer first tabled Number of points in direct image dither pattern
dither.nod_type PRIMARY NOD_TYPE string first tabled Nod pattern type
dither.pattern_size PRIMARY PATTSIZE string first tabled Primary dither pattern size
dither.small_grid_pattern PRIMARY SMGRDPAT string first tabled Name of small grid dither pattern
dither.subpixel_total_points PRIMARY SUBPXPTS integer first tabled Number of points in subpixel dither pattern
dither.subpixel_pattern PRIMARY SUBPXPAT string first tabled Subpixel dither pattern type
dither.spectral_position_number PRIMARY SPEC_NUM integer first tabled Position number within spectral steps
dither.spectral_total_points PRIMARY SPECNSTP integer first tabled Number of steps in spectral direction
dither.spectral_step_size PRIMARY SPECSTEP number first tabled Size of steps in spectral direction
dither.spectral_offset PRIMARY SPCOFFST number first tabled [arcsec] Spectral offset from pattern start
dither.spatial_position_number PRIMARY SPAT_NUM integer first tabled Position number within spatial steps
dither.spatial_total_points PRIMARY SPATNSTP integer first tabled Number of steps in spatial direction
dither.spatial_step_size PRIMARY SPATSTEP number first tabled Size of steps in spatial direction
dither.spatial_offset PRIMARY SPTOFFST number first tabled [arcsec] Spatial offset from pattern start
dither.x_offset PRIMARY XOFFSET number first tabled [arcsec] X offset in SI ideal coordinate frame
dither.y_offset PRIMARY YOFFSET number first tabled [arcsec] Y offset in SI ideal coordinate frame
dither.starting_set PRIMARY DSETSTRT integer first - Starting 4-point set in dither set list
dither.number_of_sets PRIMARY NUMDSETS integer first - Number of 4-point sets in dither set list
dither.direction PRIMARY DITHDIRC string first - Direction of dither pattern offsets
dither.optimized_for PRIMARY DITHOPFR string first - Dither pattern optimization
dither.sparse_points PRIMARY DITHPNTS string first - Sparse cycling dither points
dither.primary_channel PRIMARY MRSPRCHN string first - Optimized MRS channel
dither.dithered_ra PRIMARY DITH_RA number first - RA of dithered pointing location
dither.dithered_dec PRIMARY DITH_DEC number first - Dec of dithered pointing location
ephemeris.reference_frame SCI REFFRAME string first tabled Ephemeris reference frame (EME2000)
ephemeris.type SCI EPH_TYPE string first tabled Definitive or Predicted
ephemeris.time SCI EPH_TIME number first tabled [d] MJD time of position and velocity vectors
ephemeris.spatial_x_bary SCI JWST_X number first tabled [km] barycentric JWST X coordinate at MJD-AVG
ephemeris.spatial_y_bary SCI JWST_Y number first tabled [km] barycentric JWST Y coordinate at MJD-AVG
ephemeris.spatial_z_bary SCI JWST_Z number first tabled [km] barycentric JWST Z coordinate at MJD-AVG
ephemeris.spatial_x_geo SCI OBSGEO-X number first tabled [m] geocentric JWST X coordinate at MJD-AVG
ephemeris.spatial_y_geo SCI OBSGEO-Y number first tabled [m] geocentric JWST Y coordinate at MJD-AVG
ephemeris.spatial_z_geo SCI OBSGEO-Z number first tabled [m] geocentric JWST Z coordinate at MJD-AVG
ephemeris.velocity_x_bary SCI JWST_DX number first tabled [km/s] barycentric JWST X velocity at MJD-AVG
ephemeris.velocity_y_bary SCI JWST_DY number first tabled [km/s] barycentric JWST Y velocity at MJD-AVG
ephemeris.velocity_z_bary SCI JWST_DZ number first tabled [km/s] barycentric JWST Z velocity at MJD-AVG
ephemeris.velocity_x_geo SCI OBSGEODX number first tabled [m/s] geocentric JWST X velocity at MJD-AVG
ephemeris.velocity_y_geo SCI OBSGEODY number first tabled [m/s] geocentric JWST Y velocity at MJD-AVG
ephemeris.velocity_z_geo SCI OBSGEODZ number first tabled [m/s] geocentric JWST Z velocity at MJD-AVG
aperture.name PRIMARY APERNAME string first tabled S&OC PRD science aperture used
aperture.pps_name PRIMARY PPS_APER string first tabled original AperName supplied by PPS
aperture.position_angle SCI PA_APER number first tabled [deg] Position angle of aperture used
velocity_aberration.va_ra_ref PRIMARY VA_RA number first tabled [deg] Velocity aberrated apparent reference RA
velocity_aberration.va_dec_ref PRIMARY VA_DEC number first tabled [deg] Velocity aberrated apparent reference Dec
velocity_aberration.scale_factor SCI VA_SCALE number first tabled Velocity aberration scale factor
time.barycentric_correction PRIMARY BARTDELT number first tabled [s] Barycentric correction at exposure start
time.barycentric_expstart PRIMARY BSTRTIME number first tabled [d] Barycentric exposure start time in MJD
time.barycentric_expend PRIMARY BENDTIME number first tabled [d] Barycentric exposure end time in MJD
time.barycentric_expmid PRIMARY BMIDTIME number first tabled [d] Barycentric exposure mid time in MJD
time.heliocentric_correction PRIMARY HELIDELT number first tabled [s] Heliocentric correction at exposure start
time.heliocentric_expstart PRIMARY HSTRTIME number first tabled [d] Heliocentric exposure start time in MJD
time.heliocentric_expend PRIMARY HENDTIME number first tabled [d] Heliocentric exposure end time in MJD
time.heliocentric_expmid PRIMARY HMIDTIME number first tabled [d] Heliocentric exposure mid time in MJD
nircam_focus.fam_la1 PRIMARY FAM_LA1 integer first tabled position in steps of linear actuator 1
nircam_focus.fastep1 PRIMARY FASTEP1 integer first tabled requested focus actuator 1 starting steps
nircam_focus.faunit1 PRIMARY FAUNIT1 number first tabled requested focus actuator 1 starting units
nircam_focus.faphase1 PRIMARY FAPHASE1 string first tabled requested focus actuator 1 starting phase
nircam_focus.fa1value PRIMARY FA1VALUE integer first tabled requested focus actuator 1 position value
nircam_focus.fam_la2 PRIMARY FAM_LA2 integer first tabled position in steps of linear actuator 2
nircam_focus.fastep2 PRIMARY FASTEP2 integer first tabled requested focus actuator 2 starting steps
nircam_focus.faunit2 PRIMARY FAUNIT2 number first tabled requested focus actuator 2 starting units
nircam_focus.faphase2 PRIMARY FAPHASE2 string first tabled requested focus actuator 2 starting phase
nircam_focus.fa2value PRIMARY FA2VALUE integer first tabled requested focus actuator 2 position value
nircam_focus.fam_la3 PRIMARY FAM_LA3 integer first tabled position in steps of linear actuator 3
nircam_focus.fastep3 PRIMARY FASTEP3 integer first tabled requested focus actuator 3 starting steps
nircam_focus.faunit3 PRIMARY FAUNIT3 number first tabled requested focus actuator 3 starting units
nircam_focus.faphase3 PRIMARY FAPHASE3 string first tabled requested focus actuator 3 starting phase
nircam_focus.fa3value PRIMARY FA3VALUE integer first tabled requested focus actuator 3 position value
nirspec_wfsc.rma_pos PRIMARY RMA_POS integer first tabled Refocus Mechanism Assembly hall-position sensor value
nirspec_wfsc.rma_step PRIMARY FCSRLPOS integer first tabled Refocus Mechanism Assembly relative position
guidestar.gs_order PRIMARY GS_ORDER integer first tabled index of guide star within list of selected guide stars
guidestar.gs_start_time PRIMARY GSSTRTTM string first tabled UTC time when guide star activity started
guidestar.gs_stop_time PRIMARY GSENDTIM string first tabled UTC time when guide star activity completed
guidestar.gs_id PRIMARY GDSTARID string first tabled guide star identifier
guidestar.gs_ra PRIMARY GS_RA number first tabled guide star right ascension
guidestar.gs_dec PRIMARY GS_DEC number first tabled guide star declination
guidestar.gs_ura PRIMARY GS_URA number first tabled guide star right ascension uncertainty
guidestar.gs_udec PRIMARY GS_UDEC number first tabled guide star declination uncertainty
guidestar.gs_mag PRIMARY GS_MAG number first tabled guide star magnitude in FGS detector
guidestar.gs_umag PRIMARY GS_UMAG number first tabled guide star magnitude uncertainty
guidestar.gs_v3_pa_science PRIMARY GS_V3_PA number first tabled V3 Position Angle of guide star for science
guidestar.gs_pcs_mode PRIMARY PCS_MODE string first tabled Pointing Control System mode
guidestar.visit_end_time PRIMARY VISITEND string first tabled Observatory UTC time when the visit ended
guidestar.gs_function_start_time PRIMARY GF_START string first - UTC time when the guider function started
guidestar.gs_function_end_time PRIMARY GF_END string first - UTC time when the guider function ended
guidestar.fgs_aperture PRIMARY FGS_APER string first tabled Aperture used for guide star acquisition
guidestar.gs_ideal_x PRIMARY GSIDL_X number first tabled Guide star ideal x coordinate
guidestar.gs_ideal_y PRIMARY GSIDL_Y number first tabled Guide star ideal y coordinate
guidestar.fgs_v2_ref PRIMARY V2_REF number first - [arcsec] Telescope V2 coord of reference point
guidestar.fgs_v3_ref PRIMARY V3_REF number first - [arcsec] Telescope V3 coord of reference point
guidestar.fgs_roll_ref PRIMARY ROLL_REF number first - [deg] V3 roll angle at the ref point (N over E)
guidestar.fgs_v3yangle PRIMARY V3I_YANG number first - [deg] Angle from V3 axis to Ideal y axis
guidestar.fgs_vparity PRIMARY VPARITY integer first - Relative sense of rotation between Ideal xy and V2V3
guidestar.data_start PRIMARY DATASTRT number first - [d] MJD start time of guider data in this file
guidestar.data_end PRIMARY DATAEND number first - [d] MJD end time of guider data in this file
guidestar.gs_acq_exec_stat PRIMARY GSACSTAT string first tabled Guide star acquisition execution status
guidestar.gs_ctd_x PRIMARY GSCENTX number first tabled [arcsec] GuideStar x centroid (FGS ideal frame)
guidestar.gs_ctd_y PRIMARY GSCENTY number first tabled [arcsec] GuideStar y centroid (FGS ideal frame)
guidestar.gs_epoch PRIMARY GS_EPOCH string first tabled Epoch of guide star coordinates
guidestar.gs_mura PRIMARY GS_MURA number first tabled Guide star ICRS right ascension proper motion
guidestar.gs_mudec PRIMARY GS_MUDEC number first tabled Guide star ICRS declination proper motion
guidestar.gs_para PRIMARY GS_PARA number first tabled Guide star annual parallax
ref_file.crds.sw_version PRIMARY CRDS_VER string first tabled Version of CRDS file selection software used
ref_file.crds.context_used PRIMARY CRDS_CTX string first tabled CRDS context (.pmap) used to select ref files
ref_file.area.name PRIMARY R_AREA string first tabled Pixel area reference file name
ref_file.bkg.name PRIMARY R_BKG string first tabled Background reference file name
ref_file.badshutter.name PRIMARY R_MSAOPE string first tabled MSA operability reference file name
ref_file.barshadow.name PRIMARY R_BARSHA string first tabled NIRSpec bar shadow reference file name
ref_file.camera.name PRIMARY R_CAMERA string first tabled Nirspec Camera reference file name
ref_file.chromcorr.name PRIMARY R_CHRCOR string first tabled Nirspec chromaticity correction reference file name
ref_file.collimator.name PRIMARY R_COLLIM string first tabled Nirspec Collimator reference file name
ref_file.sirskernel.name PRIMARY R_SIRSKL string first tabled SIRS refpix reference file name
ref_file.cubepar.name PRIMARY R_CUBPAR string first tabled IFU cube parameters reference file name
ref_file.dark.name PRIMARY R_DARK string first tabled Dark reference file name
ref_file.disperser.name PRIMARY R_DISPER string first tabled Disperser reference file name
ref_file.distortion.name PRIMARY R_DISTOR string first tabled Distortion reference file name
ref_file.emicorr.name PRIMARY R_MIREMI string first tabled MIRI EMI correction reference file name
ref_file.extract1d.name PRIMARY R_EXTR1D string first tabled 1-D extraction parameters reference file name
ref_file.filteroffset.name PRIMARY R_FILOFF string first tabled Filter Offset reference file name
ref_file.flat.name PRIMARY R_FLAT string first tabled Flat reference file name
ref_file.dflat.name PRIMARY R_DFLAT string first tabled Detector Flat reference file name
ref_file.fflat.name PRIMARY R_FFLAT string first tabled Fore-optics Flat reference file name
ref_file.sflat.name PRIMARY R_SFLAT string first tabled Spectrograph Flat reference file name
ref_file.fore.name PRIMARY R_FORE string first tabled Nirspec FORE Model reference file name
ref_file.fpa.name PRIMARY R_FPA string first tabled Nirspec FPA Model reference file name
ref_file.fringe.name PRIMARY R_FRINGE string first tabled Fringe reference file name
ref_file.fringefreq.name PRIMARY R_FRIFRQ string first tabled MRS Fringe Frequency reference file name
ref_file.gain.name PRIMARY R_GAIN string first tabled Gain reference file name
ref_file.ifufore.name PRIMARY R_IFUFOR string first tabled ifufore reference file name
ref_file.ifupost.name PRIMARY R_IFUPOS string first tabled ifupost reference file name
ref_file.ifuslicer.name PRIMARY R_IFUSLI string first tabled ifuslicer reference file name
ref_file.ipc.name PRIMARY R_IPC string first tabled IPC reference file name
ref_file.lastframe.name PRIMARY R_LASTFR string first tabled Last Frame reference file name
ref_file.linearity.name PRIMARY R_LINEAR string first tabled Linearity reference file name
ref_file.mask.name PRIMARY R_MASK string first tabled Mask reference file name
ref_file.msa.name PRIMARY R_MSA string first tabled Nirspec MSA Model reference file name
ref_file.mrsxartcorr.name PRIMARY R_MRSXAR string first tabled MRS Cross-Artifact Correction ref file name
ref_file.mrsptcorr.name PRIMARY R_MRSPT string first tabled MRS point source correction reference file name
ref_file.nrm.name PRIMARY R_NRM string first tabled Non-Redundant mask reference file name
ref_file.ote.name PRIMARY R_OTE string first tabled Nirspec OTE Model reference file name
ref_file.pastasoss.name PRIMARY R_PSTSOS string first tabled PASTASOSS reference file name
ref_file.pathloss.name PRIMARY R_PTHLOS string first tabled Pathloss reference file name
ref_file.persat.name PRIMARY R_PERSAT string first tabled Persistence saturation reference file name
ref_file.photom.name PRIMARY R_PHOTOM string first tabled Photometric reference file name
ref_file.psfmask.name PRIMARY R_PSFMAS string first tabled PSF mask reference file name
ref_file.readnoise.name PRIMARY R_READNO string first tabled Read noise reference file name
ref_file.refpix.name PRIMARY R_REFPIX string first tabled Reference pixels reference file name
ref_file.regions.name PRIMARY R_REGION string first tabled Regions reference file name
ref_file.resample.name PRIMARY R_RESAMP string first tabled Resample parameters reference file name
ref_file.resolution.name PRIMARY R_RESOL string first tabled MRS resolution reference file name
ref_file.reset.name PRIMARY R_RESET string first tabled Reset reference file name
ref_file.rscd.name PRIMARY R_RSCD string first tabled RSCD reference file name
ref_file.saturation.name PRIMARY R_SATURA string first tabled Saturation reference file name
ref_file.speckernel.name PRIMARY R_SPKERN string first tabled Spectral convolution kernel reference file name
ref_file.specprofile.name PRIMARY R_SPPROF string first tabled Spectral profile reference file name
ref_file.spectrace.name PRIMARY R_SPTRAC string first tabled Spectral trace reference file name
ref_file.specwcs.name PRIMARY R_SPCWCS string first tabled Spectral distortion reference file name
ref_file.straylight.name PRIMARY R_STRAY string first tabled MRS Straylight reference file name
ref_file.superbias.name PRIMARY R_SUPERB string first tabled Superbias reference file name
ref_file.throughput.name PRIMARY R_THRPUT string first tabled Filter throughput reference file name
ref_file.trapdensity.name PRIMARY R_TRPDEN string first tabled Trap density reference file name
ref_file.trappars.name PRIMARY R_TRPPAR string first tabled Trap parameters reference file name
ref_file.tso_photometry.name PRIMARY R_TSPHOT string first tabled TSO imaging photometry reference file name
ref_file.v2v3.name PRIMARY R_V2V3 string first tabled V2_V3 Model reference file name
ref_file.wavecorr.name PRIMARY R_WAVCOR string first tabled Zero point wavelength correction reference file name
ref_file.wavelengthrange.name PRIMARY R_WAVRAN string first tabled Wavelength Range reference file name
ref_file.wavemap.name PRIMARY R_WAVMAP string first tabled Wavelength map reference file name
cal_step.adaptive_trace_model PRIMARY S_TRCMOD string status tabled Adaptive Trace Model
cal_step.align_psfs PRIMARY S_PSFALI string status tabled Coronagraphic PSF Alignment
cal_step.ami_analyze PRIMARY S_AMIANA string status tabled AMI Fringe Analysis
cal_step.ami_normalize PRIMARY S_AMINOR string status tabled AMI Fringe Normalization
cal_step.assign_wcs PRIMARY S_WCS string status tabled Assign World Coordinate System
cal_step.assign_mtwcs PRIMARY S_MTWCS string status tabled Assign Moving Target World Coordinate System
cal_step.bkg_subtract PRIMARY S_BKDSUB string status tabled Background subtraction
cal_step.badpix_selfcal PRIMARY S_BPXSLF string status tabled Bad Pixel Self-Calibration
cal_step.barshadow PRIMARY S_BARSHA string status tabled NIRSpec bar shadow correction
cal_step.charge_migration PRIMARY S_CHGMIG string status tabled Charge Migration
cal_step.clean_flicker_noise PRIMARY S_CLNFNS string status tabled Clean Flicker Noise
cal_step.combine_1d PRIMARY S_COMB1D string status tabled 1-D Spectral Combination
cal_step.cube_build PRIMARY S_IFUCUB string status tabled IFU Cube Creation
cal_step.dark_sub PRIMARY S_DARK string status tabled Dark Subtraction
cal_step.dq_init PRIMARY S_DQINIT string status tabled Data Quality Initialization
cal_step.emicorr PRIMARY S_MIREMI string status tabled MIRI EMI Correction
cal_step.emission PRIMARY S_TELEMI string status tabled Telescope Emission Correction
cal_step.err_init PRIMARY S_ERRINI string status tabled Error Initialization
cal_step.extract_1d PRIMARY S_EXTR1D string status tabled 1-D Spectral Extraction
cal_step.extract_2d PRIMARY S_EXTR2D string status tabled 2-D Spectral Extraction
cal_step.firstframe PRIMARY S_FRSTFR string status tabled First Frame Correction
cal_step.flat_field PRIMARY S_FLAT string status tabled Flat Field Correction
cal_step.fringe PRIMARY S_FRINGE string status tabled Fringe Correction
cal_step.gain_scale PRIMARY S_GANSCL string status tabled Gain Scale Correction
cal_step.group_scale PRIMARY S_GRPSCL string status tabled Group Scale Correction
cal_step.guider_cds PRIMARY S_GUICDS string status tabled Guide Mode CDS Computation
cal_step.imprint PRIMARY S_IMPRNT string status tabled NIRSpec MSA Imprint Subtraction
cal_step.ipc PRIMARY S_IPC string status tabled Interpixel Capacitance Correction
cal_step.jump PRIMARY S_JUMP string status tabled Jump Detection
cal_step.klip PRIMARY S_KLIP string status tabled Coronagraphic PSF Subtraction
cal_step.lastframe PRIMARY S_LASTFR string status tabled Last Frame Correction
cal_step.linearity PRIMARY S_LINEAR string status tabled Linearity Correction
cal_step.master_background PRIMARY S_MSBSUB string status tabled Master Background Subtraction
cal_step.msa_flagging PRIMARY S_MSAFLG string status tabled NIRSpec MSA Stuck Shutter Flagging
cal_step.outlier_detection PRIMARY S_OUTLIR string status tabled Outlier Detection
cal_step.pathloss PRIMARY S_PTHLOS string status tabled Pathloss Correction
cal_step.persistence PRIMARY S_PERSIS string status tabled Persistence Correction
cal_step.photom PRIMARY S_PHOTOM string status tabled Photometric Calibration
cal_step.picture_frame PRIMARY S_PCTFRM string status tabled Picture Frame Correction
cal_step.pixel_replace PRIMARY S_PXREPL string status tabled Pixel Replacement
cal_step.ramp_fit PRIMARY S_RAMP string status tabled Ramp Fitting
cal_step.refpix PRIMARY S_REFPIX string status tabled Reference Pixel Correction
cal_step.resample PRIMARY S_RESAMP string status tabled Image resampling
cal_step.residual_fringe PRIMARY S_RESFRI string status tabled Residual Fringe Correction
cal_step.reset PRIMARY S_RESET string status tabled Reset Anomaly Correction
cal_step.rscd PRIMARY S_RSCD string status tabled RSCD Correction
cal_step.saturation PRIMARY S_SATURA string status tabled Saturation Checking
cal_step.skymatch PRIMARY S_SKYMAT string status tabled Sky Background Equalization or Subtraction
cal_step.source_catalog PRIMARY S_SRCCAT string status tabled Source Photometry and Morphology
cal_step.spectral_leak PRIMARY S_SPLEAK string status tabled MRS spectral leak
cal_step.srctype PRIMARY S_SRCTYP string status tabled Source Type Determination
cal_step.stack_psfs PRIMARY S_PSFSTK string status tabled Coronagraphic PSF Stacking
cal_step.straylight PRIMARY S_STRAY string status tabled Straylight Correction
cal_step.superbias PRIMARY S_SUPERB string status tabled Superbias Subtraction
cal_step.targ_centroid PRIMARY S_TACNTR string status tabled Target Acquisition Centering
cal_step.tso_photometry PRIMARY S_TSPHOT string status tabled TSO Imaging Photometry
cal_step.tweakreg PRIMARY S_TWKREG string status tabled Image Alignment via Astronomical Sources
cal_step.wavecorr PRIMARY S_WAVCOR string status tabled NIRSpec wavelength correction
cal_step.wfs_combine PRIMARY S_WFSCOM string status tabled Wavefront Sensing Combination
cal_step.wfss_contam PRIMARY S_CONTAM string status tabled WFSS Contamination Correction
cal_step.white_light PRIMARY S_WHTLIT string status tabled TSO White-Light Curve
tweakreg_catalog PRIMARY TCATFILE string first - Tweakreg catalog filename
source_catalog PRIMARY SCATFILE string first - Source catalog filename
segmentation_map PRIMARY SEGMFILE string first - Segmentation map filename
direct_image PRIMARY DIRIMAGE string first - WFSS direct image filename
resample.pointings PRIMARY NDRIZ integer first - Number of groups/pointings included in resampled product
resample.weight_type PRIMARY RESWHT string first - Type of drizzle weighting to use in resampling input
resample.pixfrac PRIMARY PIXFRAC number first - Drizzle parameter describing pixel shrinking
resample.pixel_scale_ratio PRIMARY PXSCLRT number first - Pixel scale ratio relative to native detector scale
rscd.ngroups_skip_int1 PRIMARY INT1SKIP integer first - Number of groups skipped in int 1
rscd.ngroups_skip_int2p PRIMARY INT2SKIP integer first - Number of groups skippped in int 2 and higher
rscd.keep_bright_firstgroup_int1 PRIMARY INT1UGP1 integer first - Int 1- Pixels where 1st grp is kept
rscd.keep_bright_firstgroup_int2p PRIMARY INT2UGP1 integer first - Int 2+- Pixels where 1st grp is kept
rscd.keep_groups_saturation_int1 PRIMARY INT1BORS integer first - Int 1- RSCD back-off due to sat.
rscd.keep_groups_saturation_int2p PRIMARY INT2BORS integer first - Int 2+- RSCD back-off due to sat.
soss_extract1d.width PRIMARY SOSSWDTH number first - Aperture width used in extraction
soss_extract1d.tikhonov_factor PRIMARY TIKFACTR number first - Tikhonov factor used in extraction
soss_extract1d.delta_x PRIMARY SOSSDLTX number first - X-shift used in extraction
soss_extract1d.delta_y PRIMARY SOSSDLTY number first - Y-shift used in extraction
soss_extract1d.theta PRIMARY SOSSROTN number first - Rotation angle used in extraction
soss_extract1d.oversampling PRIMARY OVERSAMP number first - Oversampling used in extraction
soss_extract1d.threshold PRIMARY THRESHLD number first - Threshold used in extraction
background.method PRIMARY BKGMETH string first tabled Background computation method
background.level PRIMARY BKGLEVEL number first tabled Computed constant background level
background.subtracted PRIMARY BKGSUB boolean first tabled Has background been subtracted from data?
background.master_background_file PRIMARY MASTERBG string first - Master background file used
background.scaling_factor PRIMARY BKGD_SCL number first tabled Background scale factor
bunit_data SCI BUNIT string first tabled physical units of the array values
bunit_err ERR BUNIT string first - physical units of the array values
photometry.conversion_megajanskys SCI PHOTMJSR number first tabled Flux density (MJy/steradian) producing 1 cps
photometry.conversion_microjanskys SCI PHOTUJA2 number first tabled Flux density (uJy/arcsec2) producing 1 cps
photometry.pixelarea_steradians SCI PIXAR_SR number first tabled Nominal pixel area in steradians
photometry.pixelarea_arcsecsq SCI PIXAR_A2 number first tabled Nominal pixel area in arcsec^2
coordinates.reference_frame SCI RADESYS string first tabled Name of the coordinate reference frame
pointing.ra_v1 SCI RA_V1 number first tabled [deg] RA of telescope V1 axis
pointing.dec_v1 SCI DEC_V1 number first tabled [deg] Dec of telescope V1 axis
pointing.pa_v3 SCI PA_V3 number first tabled [deg] Position angle of telescope V3 axis
wcsinfo.wcsaxes SCI WCSAXES integer first tabled number of World Coordinate System axes
wcsinfo.crpix1 SCI CRPIX1 number first tabled Axis 1 pixel coordinate of ref point, 1-indexed
wcsinfo.crpix2 SCI CRPIX2 number first tabled Axis 2 pixel coordinate of ref point, 1-indexed
wcsinfo.crpix3 SCI CRPIX3 number first tabled Axis 3 pixel coordinate of ref point, 1-indexed
wcsinfo.crval1 SCI CRVAL1 number first tabled Axis 1 coordinate value at reference point
wcsinfo.crval2 SCI CRVAL2 number first tabled Axis 2 coordinate value at reference point
wcsinfo.crval3 SCI CRVAL3 number first tabled Axis 3 coordinate value at reference point
wcsinfo.ctype1 SCI CTYPE1 string first tabled Axis 1 type
wcsinfo.ctype2 SCI CTYPE2 string first tabled Axis 2 type
wcsinfo.ctype3 SCI CTYPE3 string first tabled Axis 3 type
wcsinfo.cunit1 SCI CUNIT1 string first tabled Axis 1 units
wcsinfo.cunit2 SCI CUNIT2 string first tabled Axis 2 units
wcsinfo.cunit3 SCI CUNIT3 string first tabled Axis 3 units
wcsinfo.cdelt1 SCI CDELT1 number first tabled Axis 1 coordinate increment at reference point
wcsinfo.cdelt2 SCI CDELT2 number first tabled Axis 2 coordinate increment at reference point
wcsinfo.cdelt3 SCI CDELT3 number first tabled Axis 3 coordinate increment at reference point
wcsinfo.pc1_1 SCI PC1_1 number first tabled Linear transformation matrix element
wcsinfo.pc1_2 SCI PC1_2 number first tabled Linear transformation matrix element
wcsinfo.pc1_3 SCI PC1_3 number first tabled Linear transformation matrix element
wcsinfo.pc2_1 SCI PC2_1 number first tabled Linear transformation matrix element
wcsinfo.pc2_2 SCI PC2_2 number first tabled Linear transformation matrix element
wcsinfo.pc2_3 SCI PC2_3 number first tabled Linear transformation matrix element
wcsinfo.pc3_1 SCI PC3_1 number first tabled Linear transformation matrix element
wcsinfo.pc3_2 SCI PC3_2 number first tabled Linear transformation matrix element
wcsinfo.pc3_3 SCI PC3_3 number first tabled Linear transformation matrix element
wcsinfo.cd1_1 SCI CD1_1 number first tabled Linear transformation matrix element
wcsinfo.cd1_2 SCI CD1_2 number first tabled Linear transformation matrix element
wcsinfo.cd2_1 SCI CD2_1 number first tabled Linear transformation matrix element
wcsinfo.cd2_2 SCI CD2_2 number first tabled Linear transformation matrix element
wcsinfo.ps3_0 SCI PS3_0 string first - Coordinate table extension name
wcsinfo.ps3_1 SCI PS3_1 string first - Coordinate table column name
wcsinfo.s_region SCI S_REGION string first tabled Spatial footprint of the observation
wcsinfo.waverange_start SCI WAVSTART number first tabled Lower bound of the default wavelength range
wcsinfo.waverange_end SCI WAVEND number first tabled Upper bound of the default wavelength range
wcsinfo.dispersion_direction SCI DISPAXIS integer first tabled Dispersion direction
wcsinfo.spectral_order SCI SPORDER integer first tabled Spectral order number
wcsinfo.v2_ref SCI V2_REF number first tabled [arcsec] Telescope V2 coord of reference point
wcsinfo.v3_ref SCI V3_REF number first tabled [arcsec] Telescope V3 coord of reference point
wcsinfo.vparity SCI VPARITY integer first tabled Relative sense of rotation between Ideal xy and V2V3
wcsinfo.v3yangle SCI V3I_YANG number first tabled [deg] Angle from V3 axis to Ideal y axis
wcsinfo.ra_ref SCI RA_REF number first tabled [deg] Right Ascension of the reference point
wcsinfo.dec_ref SCI DEC_REF number first tabled [deg] Declination of the reference point
wcsinfo.roll_ref SCI ROLL_REF number first tabled [deg] V3 roll angle at the ref point (N over E)
wcsinfo.velosys SCI VELOSYS number first - [m/s] Barycentric correction to radial velocity
wcsinfo.specsys SCI SPECSYS string first - Spectral reference frame
wcsinfo.siaf_xref_sci SCI XREF_SCI number first - Aperture X reference point in SCI frame
wcsinfo.siaf_yref_sci SCI YREF_SCI number first - Aperture Y reference point in SCI frame
wcsinfo.mt_ra SCI MT_RA number first - [deg] Moving target RA at exposure mid-point
wcsinfo.mt_dec SCI MT_DEC number first - [deg] Moving target Dec at exposure mid-point
wcsinfo.mt_avra SCI MT_AVRA number first - [deg] Moving target average RA over exposures
wcsinfo.mt_avdec SCI MT_AVDEC number first - [deg] Moving target average Dec over exposures
wcsinfo.a_order SCI A_ORDER integer first - Degree of forward SIP polynomial
wcsinfo.b_order SCI B_ORDER integer first - Degree of forward SIP polynomial
wcsinfo.ap_order SCI AP_ORDER integer first - Degree of inverse SIP polynomial
wcsinfo.bp_order SCI BP_ORDER integer first - Degree of inverse SIP polynomial
wcsinfo.a_0_2 SCI A_0_2 number first - SIP coefficient, forward transform
wcsinfo.a_0_3 SCI A_0_3 number first - SIP coefficient, forward transform
wcsinfo.a_0_4 SCI A_0_4 number first - SIP coefficient, forward transform
wcsinfo.a_0_5 SCI A_0_5 number first - SIP coefficient, forward transform
wcsinfo.a_0_6 SCI A_0_6 number first - SIP coefficient, forward transform
wcsinfo.a_1_1 SCI A_1_1 number first - SIP coefficient, forward transform
wcsinfo.a_1_2 SCI A_1_2 number first - SIP coefficient, forward transform
wcsinfo.a_1_3 SCI A_1_3 number first - SIP coefficient, forward transform
wcsinfo.a_1_4 SCI A_1_4 number first - SIP coefficient, forward transform
wcsinfo.a_1_5 SCI A_1_5 number first - SIP coefficient, forward transform
wcsinfo.a_2_0 SCI A_2_0 number first - SIP coefficient, forward transform
wcsinfo.a_2_1 SCI A_2_1 number first - SIP coefficient, forward transform
wcsinfo.a_2_2 SCI A_2_2 number first - SIP coefficient, forward transform
wcsinfo.a_2_3 SCI A_2_3 number first - SIP coefficient, forward transform
wcsinfo.a_2_4 SCI A_2_4 number first - SIP coefficient, forward transform
wcsinfo.a_3_0 SCI A_3_0 number first - SIP coefficient, forward transform
wcsinfo.a_3_1 SCI A_3_1 number first - SIP coefficient, forward transform
wcsinfo.a_3_2 SCI A_3_2 number first - SIP coefficient, forward transform
wcsinfo.a_3_3 SCI A_3_3 number first - SIP coefficient, forward transform
wcsinfo.a_4_0 SCI A_4_0 number first - SIP coefficient, forward transform
wcsinfo.a_4_1 SCI A_4_1 number first - SIP coefficient, forward transform
wcsinfo.a_4_2 SCI A_4_2 number first - SIP coefficient, forward transform
wcsinfo.a_5_0 SCI A_5_0 number first - SIP coefficient, forward transform
wcsinfo.a_5_1 SCI A_5_1 number first - SIP coefficient, forward transform
wcsinfo.a_6_0 SCI A_6_0 number first - SIP coefficient, forward transform
wcsinfo.b_0_2 SCI B_0_2 number first - SIP coefficient, forward transform
wcsinfo.b_0_3 SCI B_0_3 number first - SIP coefficient, forward transform
wcsinfo.b_0_4 SCI B_0_4 number first - SIP coefficient, forward transform
wcsinfo.b_0_5 SCI B_0_5 number first - SIP coefficient, forward transform
wcsinfo.b_0_6 SCI B_0_6 number first - SIP coefficient, forward transform
wcsinfo.b_1_1 SCI B_1_1 number first - SIP coefficient, forward transform
wcsinfo.b_1_2 SCI B_1_2 number first - SIP coefficient, forward transform
wcsinfo.b_1_3 SCI B_1_3 number first - SIP coefficient, forward transform
wcsinfo.b_1_4 SCI B_1_4 number first - SIP coefficient, forward transform
wcsinfo.b_1_5 SCI B_1_5 number first - SIP coefficient, forward transform
wcsinfo.b_2_0 SCI B_2_0 number first - SIP coefficient, forward transform
wcsinfo.b_2_1 SCI B_2_1 number first - SIP coefficient, forward transform
wcsinfo.b_2_2 SCI B_2_2 number first - SIP coefficient, forward transform
wcsinfo.b_2_3 SCI B_2_3 number first - SIP coefficient, forward transform
wcsinfo.b_2_4 SCI B_2_4 number first - SIP coefficient, forward transform
wcsinfo.b_3_0 SCI B_3_0 number first - SIP coefficient, forward transform
wcsinfo.b_3_1 SCI B_3_1 number first - SIP coefficient, forward transform
wcsinfo.b_3_2 SCI B_3_2 number first - SIP coefficient, forward transform
wcsinfo.b_3_3 SCI B_3_3 number first - SIP coefficient, forward transform
wcsinfo.b_4_0 SCI B_4_0 number first - SIP coefficient, forward transform
wcsinfo.b_4_1 SCI B_4_1 number first - SIP coefficient, forward transform
wcsinfo.b_4_2 SCI B_4_2 number first - SIP coefficient, forward transform
wcsinfo.b_5_0 SCI B_5_0 number first - SIP coefficient, forward transform
wcsinfo.b_5_1 SCI B_5_1 number first - SIP coefficient, forward transform
wcsinfo.b_6_0 SCI B_6_0 number first - SIP coefficient, forward transform
wcsinfo.ap_0_2 SCI AP_0_2 number first - SIP coefficient, inverse transform
wcsinfo.ap_0_3 SCI AP_0_3 number first - SIP coefficient, inverse transform
wcsinfo.ap_0_4 SCI AP_0_4 number first - SIP coefficient, inverse transform
wcsinfo.ap_0_5 SCI AP_0_5 number first - SIP coefficient, inverse transform
wcsinfo.ap_0_6 SCI AP_0_6 number first - SIP coefficient, inverse transform
wcsinfo.ap_1_1 SCI AP_1_1 number first - SIP coefficient, inverse transform
wcsinfo.ap_1_2 SCI AP_1_2 number first - SIP coefficient, inverse transform
wcsinfo.ap_1_3 SCI AP_1_3 number first - SIP coefficient, inverse transform
wcsinfo.ap_1_4 SCI AP_1_4 number first - SIP coefficient, inverse transform
wcsinfo.ap_1_5 SCI AP_1_5 number first - SIP coefficient, inverse transform
wcsinfo.ap_2_0 SCI AP_2_0 number first - SIP coefficient, inverse transform
wcsinfo.ap_2_1 SCI AP_2_1 number first - SIP coefficient, inverse transform
wcsinfo.ap_2_2 SCI AP_2_2 number first - SIP coefficient, inverse transform
wcsinfo.ap_2_3 SCI AP_2_3 number first - SIP coefficient, inverse transform
wcsinfo.ap_2_4 SCI AP_2_4 number first - SIP coefficient, inverse transform
wcsinfo.ap_3_0 SCI AP_3_0 number first - SIP coefficient, inverse transform
wcsinfo.ap_3_1 SCI AP_3_1 number first - SIP coefficient, inverse transform
wcsinfo.ap_3_2 SCI AP_3_2 number first - SIP coefficient, inverse transform
wcsinfo.ap_3_3 SCI AP_3_3 number first - SIP coefficient, inverse transform
wcsinfo.ap_4_0 SCI AP_4_0 number first - SIP coefficient, inverse transform
wcsinfo.ap_4_1 SCI AP_4_1 number first - SIP coefficient, inverse transform
wcsinfo.ap_4_2 SCI AP_4_2 number first - SIP coefficient, inverse transform
wcsinfo.ap_5_0 SCI AP_5_0 number first - SIP coefficient, inverse transform
wcsinfo.ap_5_1 SCI AP_5_1 number first - SIP coefficient, inverse transform
wcsinfo.ap_6_0 SCI AP_6_0 number first - SIP coefficient, inverse transform
wcsinfo.bp_0_2 SCI BP_0_2 number first - SIP coefficient, inverse transform
wcsinfo.bp_0_3 SCI BP_0_3 number first - SIP coefficient, inverse transform
wcsinfo.bp_0_4 SCI BP_0_4 number first - SIP coefficient, inverse transform
wcsinfo.bp_0_5 SCI BP_0_5 number first - SIP coefficient, inverse transform
wcsinfo.bp_0_6 SCI BP_0_6 number first - SIP coefficient, inverse transform
wcsinfo.bp_1_1 SCI BP_1_1 number first - SIP coefficient, inverse transform
wcsinfo.bp_1_2 SCI BP_1_2 number first - SIP coefficient, inverse transform
wcsinfo.bp_1_3 SCI BP_1_3 number first - SIP coefficient, inverse transform
wcsinfo.bp_1_4 SCI BP_1_4 number first - SIP coefficient, inverse transform
wcsinfo.bp_1_5 SCI BP_1_5 number first - SIP coefficient, inverse transform
wcsinfo.bp_2_0 SCI BP_2_0 number first - SIP coefficient, inverse transform
wcsinfo.bp_2_1 SCI BP_2_1 number first - SIP coefficient, inverse transform
wcsinfo.bp_2_2 SCI BP_2_2 number first - SIP coefficient, inverse transform
wcsinfo.bp_2_3 SCI BP_2_3 number first - SIP coefficient, inverse transform
wcsinfo.bp_2_4 SCI BP_2_4 number first - SIP coefficient, inverse transform
wcsinfo.bp_3_0 SCI BP_3_0 number first - SIP coefficient, inverse transform
wcsinfo.bp_3_1 SCI BP_3_1 number first - SIP coefficient, inverse transform
wcsinfo.bp_3_2 SCI BP_3_2 number first - SIP coefficient, inverse transform
wcsinfo.bp_3_3 SCI BP_3_3 number first - SIP coefficient, inverse transform
wcsinfo.bp_4_0 SCI BP_4_0 number first - SIP coefficient, inverse transform
wcsinfo.bp_4_1 SCI BP_4_1 number first - SIP coefficient, inverse transform
wcsinfo.bp_4_2 SCI BP_4_2 number first - SIP coefficient, inverse transform
wcsinfo.bp_5_0 SCI BP_5_0 number first - SIP coefficient, inverse transform
wcsinfo.bp_5_1 SCI BP_5_1 number first - SIP coefficient, inverse transform
wcsinfo.bp_6_0 SCI BP_6_0 number first - SIP coefficient, inverse transform
"""
"""Name below ``meta``, extension, keyword, type, how values are blended, whether HDRTAB has a
column (or a dash), comment."""
